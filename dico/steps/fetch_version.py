"""Step: the parts of a registered version, for work that starts from it."""

import shutil
from pathlib import Path

from dico.models.judge import write_absent_judge
from dico.registry import cache_folder, open_registry
from dico.registry.version import CAPTIONER, EVALUATOR, JUDGE
from dico.storage import write_digests


def fetch_version(
    registry: str,
    model_name: str,
    version: str,
    output_captioner: str,
    output_evaluator: str,
    output_judge: str = "",
) -> None:
    """Copies captioner, evaluator and judge out of a version, checked by their digests.

    Raises:
        DataError: there is no such version.
        DigestError: its bytes are not those that were registered.
    """
    opened = open_registry(registry)
    folder = opened.fetch(opened.get(model_name, int(version)), cache_folder())
    for part, output in ((CAPTIONER, output_captioner), (EVALUATOR, output_evaluator)):
        shutil.copytree(folder / part, output, dirs_exist_ok=True)
        write_digests(Path(output))
    if output_judge and (folder / JUDGE).is_dir():
        shutil.copytree(folder / JUDGE, output_judge, dirs_exist_ok=True)
        write_digests(Path(output_judge))
    elif output_judge:
        write_absent_judge(output_judge)
