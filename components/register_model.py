"""The candidate becomes a version, and the champion where the gate said so."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Model, Output

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register_model(
    captioner: Input[Model],
    evaluator: Input[Model],
    evaluation: Input[Artifact],
    decision: Input[Artifact],
    report: Input[HTML],
    registry: str,
    model_name: str,
    dataset: str,
    fingerprint: str,
    preset: str,
    overrides: str,
    seed: int,
    run_id: str,
    champion: str,
    store: str,
    registered: Output[Artifact],
) -> NamedTuple("Outputs", [("version", str), ("promoted", str)]):
    """Registers the candidate under the next number, immutable.

    Args:
        captioner: The captioner after fine-tuning.
        evaluator: The evaluator whose tower it sees through.
        evaluation: Metrics with intervals.
        decision: The gate's decision.
        report: The run's report.
        registry: Folder or s3:// prefix of the registry.
        model_name: Name of the registered model.
        dataset: Where the annotations are.
        fingerprint: SHA-256 over pictures, captions and splits.
        preset: Name of the preset.
        overrides: Settings that were changed.
        seed: Seed of the run.
        run_id: Kubeflow's id of the run.
        champion: Number of the version that the gate compared with; empty for none. Where another
            reigns by now, the version is registered and not promoted.
        store: Folder or s3:// prefix that the step's note is left in.

    Returns:
        registered: Name, number and place of the version, JSON.
        version: Number of the version.
        promoted: "true" where it became the champion.
    """
    import json

    from dico.process.exits import exit_codes
    from dico.report.run_notes import noted
    from dico.steps.register_model import register_model as step

    with exit_codes(), noted("register_model", store) as facts:
        outputs = step(
            captioner=captioner.path,
            evaluator=evaluator.path,
            evaluation=evaluation.path,
            decision=decision.path,
            report=report.path,
            registry=registry,
            model_name=model_name,
            lineage=json.dumps(
                {
                    "dataset": dataset,
                    "fingerprint": fingerprint,
                    "preset": preset,
                    "overrides": overrides,
                    "seed": seed,
                    "run_id": run_id,
                    "champion": champion,
                }
            ),
            output_version=registered.path,
        )
        facts.update(outputs._asdict())
        return outputs
