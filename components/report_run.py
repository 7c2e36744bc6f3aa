"""The page that shows the run: curves, metrics, pictures, decision."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report_run(
    manifest: Input[Dataset],
    evaluator: Input[Model],
    xe_captioner: Input[Model],
    captioner: Input[Model],
    evaluation: Input[Artifact],
    decision: Input[Artifact],
    dataset: str,
    fingerprint: str,
    preset: str,
    overrides: str,
    seed: int,
    store: str,
    report: Output[HTML],
):
    """Writes the run's report as one self-contained page.

    Args:
        manifest: Manifest of the dataset.
        evaluator: The evaluator.
        xe_captioner: The captioner after cross-entropy.
        captioner: The captioner after fine-tuning.
        evaluation: Metrics with intervals, and scores per picture.
        decision: The gate's decision.
        dataset: Where the annotations are.
        fingerprint: SHA-256 over pictures, captions and splits.
        preset: Name of the preset.
        overrides: Settings that were changed.
        seed: Seed of the run.
        store: Folder or s3:// prefix that the step's note is left in.

    Returns:
        report: The page.
    """
    import json

    from dico.process.exits import exit_codes
    from dico.report.run_notes import noted
    from dico.steps.report_run import report_run as step

    with exit_codes(), noted("report_run", store):
        step(
            manifest=manifest.path,
            evaluator=evaluator.path,
            xe_captioner=xe_captioner.path,
            captioner=captioner.path,
            evaluation=evaluation.path,
            decision=decision.path,
            lineage=json.dumps(
                {
                    "dataset": dataset,
                    "fingerprint": fingerprint,
                    "preset": preset,
                    "overrides": overrides,
                    "seed": seed,
                }
            ),
            output_report=report.path,
        )
