"""Step: stops the run where validation refused the dataset; keeps the manifest of an accepted one."""

from dico.errors import DataError
from dico.validation.accepted import keep_manifest


def require_valid_dataset(
    ok: str, reasons: str, manifest: str, fingerprint: str, store: str
) -> None:
    """Keeps the manifest in the store where ``ok`` is "true".

    Args:
        ok: the verdict of validation.
        reasons: why the dataset was refused.
        manifest: Parquet file.
        fingerprint: the dataset's.
        store: folder or s3:// prefix.

    Raises:
        DataError: the dataset was refused.
    """
    if ok != "true":
        raise DataError(f"the dataset is refused: {reasons}; see the validation report")
    keep_manifest(store, fingerprint, manifest)
