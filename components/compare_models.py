"""The quality gate: may the candidate become the champion?"""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def compare_models(
    evaluation: Input[Artifact], config: str, store: str, decision: Output[Artifact]
) -> NamedTuple("Outputs", [("promote", str), ("reasons", str)]):
    """Decides by paired-bootstrap differences against the start and the champion.

    Args:
        evaluation: Metrics with intervals and differences.
        config: Limits of the gate, JSON.
        store: Folder or s3:// prefix that the step's note is left in.

    Returns:
        decision: The decision as JSON.
        promote: "true" or "false".
        reasons: Why.
    """
    from dico.process.exits import exit_codes
    from dico.report.run_notes import noted
    from dico.steps.compare_models import compare_models as step

    with exit_codes(), noted("compare_models", store) as facts:
        outputs = step(evaluation=evaluation.path, config=config, output_decision=decision.path)
        facts.update(outputs._asdict())
        return outputs
