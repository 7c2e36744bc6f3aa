"""Step: checks a dataset and writes its manifest; ends well also where the dataset is bad."""

import dataclasses
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from dico.configuration.schema import from_json
from dico.storage.uris import local_copy
from dico.validation.config import ValidationConfig
from dico.validation.validate import validate


class Outputs(NamedTuple):
    """The verdict ("true" or "false"), the manifest's fingerprint, and why it was refused."""

    ok: str
    fingerprint: str
    reasons: str


def validate_dataset(
    dataset: str,
    images: str,
    config: str,
    output_manifest: str,
    output_report: str,
    output_summary: str,
    baseline: str = "",
) -> Outputs:
    """Checks ``dataset``; see `dico.validation.validate` for what is raised."""
    settings = from_json(ValidationConfig, config, "validation")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="validation-"))
        if baseline:
            path = stack.enter_context(local_copy(baseline))
            settings = dataclasses.replace(settings, baseline=str(path))
        result = validate(dataset, images, settings, output_manifest, folder)
        for name, output in (("report.html", output_report), ("summary.json", output_summary)):
            Path(output).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(folder) / name, output)
    return Outputs(str(result.ok).lower(), result.fingerprint, "; ".join(result.reasons))
