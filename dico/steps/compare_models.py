"""Step: the quality gate's decision."""

from pathlib import Path
from typing import NamedTuple

from dico.audit.audit import read_audit
from dico.configuration.schema import from_json
from dico.evaluation.evaluate import Evaluation
from dico.evaluation.gate import Decision, GateConfig, decide
from dico.evaluation.systems import BASELINE, CANDIDATE, CHAMPION
from dico.people.judgements import read_judgements
from dico.people.preference import not_preferred


class Outputs(NamedTuple):
    """Whether the candidate may become the champion ("true" or "false"), and why."""

    promote: str
    reasons: str


def compare_models(evaluation: str, config: str, output_decision: str, audit: str = "") -> Outputs:
    """Decides whether the candidate may become the champion.

    Args:
        evaluation: folder written by evaluate_captions.
        config: `GateConfig` as JSON.
        output_decision: JSON file to write.
        audit: folder written by audit_evaluator; empty where the evaluator was not audited.
    """
    settings = from_json(GateConfig, config, "gate")
    loaded = Evaluation.load(evaluation)
    decision = decide(loaded.to_dict(), settings, audit=read_audit(audit) if audit else None)
    if decision.promote and settings.judgements:
        decision = _asked_of_people(decision, loaded, settings)
    decision.save(Path(output_decision))
    print("promoted" if decision.promote else "not promoted", *decision.reasons, sep="\n  ")
    return Outputs(str(decision.promote).lower(), "; ".join(decision.reasons))


def _asked_of_people(decision: Decision, evaluation: Evaluation, config: GateConfig) -> Decision:
    """The decision, unless people do not prefer the candidate."""
    rows = evaluation.per_image
    captions: dict[str, dict[str, str]] = {}
    for name, image_id, text in zip(rows["system"], rows["image_id"], rows["caption"], strict=True):
        captions.setdefault(name, {})[image_id] = text
    given = read_judgements(config.judgements)
    others = [name for name in (BASELINE, CHAMPION) if name in captions]
    found = (
        not_preferred(given, captions, CANDIDATE, other, config.min_win_rate) for other in others
    )
    faults = tuple(fault for fault in found if fault)
    return Decision(False, faults) if faults else decision
