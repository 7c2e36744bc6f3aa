"""Step: stops the run where validation refused the dataset."""

from dico.errors import DataError


def require_valid_dataset(ok: str, reasons: str) -> None:
    """Does nothing where ``ok`` is "true".

    Raises:
        DataError: with the reasons.
    """
    if ok != "true":
        raise DataError(f"the dataset is refused: {reasons}; see the validation report")
