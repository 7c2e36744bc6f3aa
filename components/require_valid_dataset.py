"""Stops the run where the dataset was refused; the report of the checks is kept by then."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def require_valid_dataset(ok: str, reasons: str):
    """Fails with the reasons unless the dataset passed its checks.

    Args:
        ok: "true" where the dataset passed.
        reasons: Why it did not.
    """
    from dico.exits import exit_codes
    from dico.steps.require_valid_dataset import require_valid_dataset as step

    with exit_codes():
        step(ok=ok, reasons=reasons)
