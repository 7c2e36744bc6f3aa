"""Every image and caption checked; what passes becomes the manifest that later steps read."""

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
    known: str,
    store: str,
    manifest: Output[Dataset],
    report: Output[HTML],
    summary: Output[Artifact],
) -> NamedTuple("Outputs", [("fingerprint", str), ("new", str)]):
    """Checks a dataset and writes its manifest; fails where it is refused, its report kept.

    Args:
        dataset: Path or s3:// URI of the annotations.
        images: Folder of the images; empty if the annotations hold their paths.
        version: Changes with the dataset, so that an old result is not used for it.
        config: Settings of the checks, JSON.
        baseline: URI of the manifest that drift is measured from; empty for none.
        known: Fingerprint of a dataset that teaches nothing new; empty where every one does.
        store: Folder or s3:// prefix that keeps the manifest, or the report of a refused dataset.

    Returns:
        manifest: Parquet with one row per accepted image.
        report: What was checked and found.
        summary: The findings as JSON.
        fingerprint: SHA-256 over images, captions and splits.
        new: "true", or "false" where the dataset is the known one.
    """
    from dico.steps.accept_dataset import accept_dataset
    from dico.steps.step import step
    from dico.steps.validate_dataset import validate_dataset as run

    with step("validate_dataset", store) as facts:
        verdict = run(
            dataset=dataset,
            images=images,
            config=config,
            output_manifest=manifest.path,
            output_report=report.path,
            output_summary=summary.path,
            baseline=baseline,
        )
        facts.update(accepted=verdict.ok, fingerprint=verdict.fingerprint[:12])
        return accept_dataset(
            **verdict._asdict(),
            known=known,
            manifest=manifest.path,
            report=report.path,
            store=store,
        )
