"""The audit of the evaluator, before a captioner is trained on its judgement."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def audit_evaluator(
    manifest: Input[Dataset],
    features: Input[Artifact],
    evaluator: Input[Model],
    config: str,
    store: str,
    audit: Output[Artifact],
    second_evaluator: Input[Model] = None,
) -> NamedTuple("Outputs", [("verdict", str)]):
    """Measures what the evaluator can tell and what it pays for; an unfit one ends the run.

    Args:
        manifest: Manifest of the dataset.
        features: Pointer to the features, with the embeddings of images.
        evaluator: Judges captions, and will reward.
        config: Settings of the audit, JSON.
        store: Folder or s3:// prefix that the step's note is left in.
        second_evaluator: Another evaluator, for agreement; may be none.

    Returns:
        audit: The verdict with its numbers, JSON, and a page with images.
        verdict: fit, weak or unfit.
    """
    from dico.steps.audit_evaluator import audit_evaluator as run
    from dico.steps.step import step

    with step("audit_evaluator", store) as facts:
        outputs = run(
            manifest=manifest.path,
            features=features.path,
            evaluator=evaluator.path,
            second_evaluator=second_evaluator.path if second_evaluator else "",
            config=config,
            output_audit=audit.path,
        )
        facts.update(audit=outputs.verdict)
        return outputs
