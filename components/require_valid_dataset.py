"""Stops the run where the dataset was refused; the report of the checks is kept by then."""

from kfp import dsl
from kfp.dsl import Dataset, Input

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def require_valid_dataset(
    ok: str, reasons: str, manifest: Input[Dataset], fingerprint: str, store: str
):
    """Fails with the reasons unless the dataset passed; keeps its manifest for later runs.

    Args:
        ok: "true" where the dataset passed.
        reasons: Why it did not.
        manifest: Manifest of the dataset.
        fingerprint: SHA-256 over pictures, captions and splits.
        store: Folder or s3:// prefix that keeps the manifest.
    """
    from dico.process.exits import exit_codes
    from dico.report.run_notes import noted
    from dico.steps.require_valid_dataset import require_valid_dataset as step

    with exit_codes(), noted("require_valid_dataset", store):
        step(
            ok=ok,
            reasons=reasons,
            manifest=manifest.path,
            fingerprint=fingerprint,
            store=store,
        )
