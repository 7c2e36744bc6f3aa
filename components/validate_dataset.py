"""Every picture and caption checked; what passes becomes the manifest that later steps read."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Output

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def validate_dataset(
    dataset: str,
    images: str,
    version: str,
    config: str,
    baseline: str,
    store: str,
    manifest: Output[Dataset],
    report: Output[HTML],
    summary: Output[Artifact],
) -> NamedTuple("Outputs", [("ok", str), ("fingerprint", str), ("reasons", str)]):
    """Checks a dataset and writes its manifest. Ends well also where the dataset is bad.

    Args:
        dataset: Path or s3:// URI of the annotations.
        images: Folder of the pictures; empty where the annotations know.
        version: Changes with the dataset, so that an old result is not used for it.
        config: Settings of the checks, JSON.
        baseline: URI of the manifest that drift is measured from; empty for none.
        store: Folder or s3:// prefix that the step's note is left in.

    Returns:
        manifest: Parquet with one row per accepted picture.
        report: What was checked and found.
        summary: The findings as JSON.
        ok: "true" or "false".
        fingerprint: SHA-256 over pictures, captions and splits.
        reasons: Why the dataset is refused.
    """
    from dico.process.exits import exit_codes
    from dico.report.run_notes import noted
    from dico.steps.validate_dataset import validate_dataset as step

    with exit_codes(), noted("validate_dataset", store) as facts:
        outputs = step(
            dataset=dataset,
            images=images,
            config=config,
            output_manifest=manifest.path,
            output_report=report.path,
            output_summary=summary.path,
            baseline=baseline,
        )
        facts.update(accepted=outputs.ok, fingerprint=outputs.fingerprint[:12])
        return outputs
