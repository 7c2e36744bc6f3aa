"""Step: the parts of a registered version, for work that starts from it."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

from dico.errors import DataError
from dico.models.judge import write_absent_judge
from dico.registry import cache_folder, open_registry
from dico.registry.version import CAPTIONER, EVALUATOR, JUDGE, LINEAGE
from dico.storage import write_digests
from dico.validation.accepted import manifest_uri


class Outputs(NamedTuple):
    """What the version was made from."""

    fingerprint: str
    """Of its dataset."""
    settings: str
    """Its preset and overrides."""
    baseline: str
    """URI of its dataset's manifest in the store; empty where the store has none."""


def fetch_version(
    registry: str,
    model_name: str,
    version: str,
    store: str,
    output_captioner: str,
    output_evaluator: str,
    output_judge: str = "",
) -> Outputs:
    """Copies captioner, evaluator and judge out of a version, checked by their digests.

    Args:
        registry: folder or s3:// prefix of the registry.
        model_name: name of the registered model.
        version: its number.
        store: folder or s3:// prefix that holds the manifests of earlier runs.
        output_captioner: folder to write.
        output_evaluator: folder to write.
        output_judge: folder to write; where the version has no independent evaluator, it says so.
            Empty where none is wanted.

    Raises:
        DataError: there is no such version.
        DigestError: its bytes are not those that were registered.
    """
    if not version:
        raise DataError(
            f"{registry}: {model_name} has no champion yet; train one by pipelines/dico.yaml"
        )
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
    lineage = json.loads((folder / LINEAGE).read_text(encoding="utf-8"))
    fingerprint = str(lineage.get("fingerprint", ""))
    settings = f"{lineage.get('preset', '')} {lineage.get('overrides', '')}".strip()
    return Outputs(fingerprint, settings, manifest_uri(store, fingerprint))
