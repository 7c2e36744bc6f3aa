"""Step: keeps an accepted dataset's manifest for later runs; stops the run where it was refused."""

from pathlib import Path
from typing import NamedTuple

from dico.errors import DataError
from dico.report.run_notes import VALIDATION_PAGE, keep_page
from dico.validation.accepted import keep_manifest


class Outputs(NamedTuple):
    """The dataset's fingerprint, and whether it is another than the known one."""

    fingerprint: str
    new: str


def accept_dataset(
    ok: str, fingerprint: str, reasons: str, known: str, manifest: str, report: str, store: str
) -> Outputs:
    """Goes on with an accepted dataset.

    Kubeflow keeps no output of a step that fails, so the report of a refused dataset is kept in the
    store, where the run's summary finds it.

    Args:
        ok: verdict of validation, "true" or "false".
        fingerprint: the dataset's.
        reasons: why it was refused.
        known: fingerprint of a dataset that teaches nothing new; empty where every one does.
        manifest: Parquet file.
        report: HTML file.
        store: folder or s3:// prefix.

    Raises:
        DataError: the dataset was refused.
    """
    if ok != "true":
        place = keep_page(store, VALIDATION_PAGE, Path(report)) or "the log above"
        raise DataError(f"the dataset is refused: {reasons}; see {place}")
    keep_manifest(store, fingerprint, manifest)
    if fingerprint == known:
        print("nothing new: the champion was made from this dataset by these settings")
    return Outputs(fingerprint, str(fingerprint != known).lower())
