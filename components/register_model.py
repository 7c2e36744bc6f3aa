"""The gate's decision, the run's report, and the candidate as a version; the champion where it won."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register_model(
    manifest: Input[Dataset],
    evaluator: Input[Model],
    judge: Input[Model],
    xe_captioner: Input[Model],
    captioner: Input[Model],
    evaluation: Input[Artifact],
    audit: Input[Artifact],
    gate: str,
    registry: str,
    model_name: str,
    champion: str,
    dataset: str,
    fingerprint: str,
    preset: str,
    overrides: str,
    seed: int,
    run_id: str,
    store: str,
    decision: Output[Artifact],
    report: Output[HTML],
    registered: Output[Artifact],
) -> NamedTuple(
    "Outputs", [("version", str), ("promoted", str), ("promote", str), ("reasons", str)]
):
    """Decides, writes the report, and registers the candidate under the next number, immutable.

    Args:
        manifest: Manifest of the dataset.
        evaluator: The evaluator whose tower the captioner sees through.
        judge: The independent evaluator, or a note that there is none.
        xe_captioner: The captioner after cross-entropy.
        captioner: The captioner after fine-tuning.
        evaluation: Metrics with intervals, and scores per image.
        audit: What the evaluator can tell, with its verdict.
        gate: Limits of the quality gate, JSON.
        registry: Folder or s3:// prefix of the registry.
        model_name: Name of the registered model.
        champion: Number of the version that the gate compared with; empty for none. Where another
            is champion by now, the version is registered and not promoted.
        dataset: Where the annotations are.
        fingerprint: SHA-256 over images, captions and splits.
        preset: Name of the preset.
        overrides: Settings that were changed.
        seed: Seed of the run.
        run_id: Kubeflow's id of the run.
        store: Folder or s3:// prefix that keeps the step's note and a copy of the report.

    Returns:
        decision: The gate's decision, JSON.
        report: The run's page.
        registered: Name, number and place of the version, JSON.
        version: Number of the version.
        promoted: "true" where it became the champion.
        promote: "true" where the gate lets it.
        reasons: Why.
    """
    from dico.steps.conclude_run import conclude_run
    from dico.steps.step import step

    with step("register_model", store) as facts:
        outputs = conclude_run(
            manifest=manifest.path,
            evaluator=evaluator.path,
            judge=judge.path,
            xe_captioner=xe_captioner.path,
            captioner=captioner.path,
            evaluation=evaluation.path,
            audit=audit.path,
            gate=gate,
            registry=registry,
            model_name=model_name,
            store=store,
            lineage={
                "dataset": dataset,
                "fingerprint": fingerprint,
                "preset": preset,
                "overrides": overrides,
                "seed": seed,
                "run_id": run_id,
                "champion": champion,
            },
            output_decision=decision.path,
            output_report=report.path,
            output_version=registered.path,
        )
        facts.update(outputs._asdict())
        return outputs
