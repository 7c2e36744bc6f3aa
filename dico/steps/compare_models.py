"""Step: the quality gate's decision."""

from pathlib import Path
from typing import NamedTuple

from dico.config_schema import from_json
from dico.evaluation.evaluate import Evaluation
from dico.evaluation.gate import GateConfig, decide


class Outputs(NamedTuple):
    """Whether the candidate may become the champion ("true" or "false"), and why."""

    promote: str
    reasons: str


def compare_models(evaluation: str, config: str, output_decision: str) -> Outputs:
    """Decides whether the candidate may become the champion.

    Args:
        evaluation: folder written by evaluate_captions.
        config: `GateConfig` as JSON.
        output_decision: JSON file to write.
    """
    settings = from_json(GateConfig, config, "gate")
    decision = decide(Evaluation.load(evaluation).to_dict(), settings)
    decision.save(Path(output_decision))
    print("promoted" if decision.promote else "not promoted", *decision.reasons, sep="\n  ")
    return Outputs(str(decision.promote).lower(), "; ".join(decision.reasons))
