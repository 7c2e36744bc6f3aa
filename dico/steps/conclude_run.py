"""Step: decides, reports and registers, one after the other; none is of use without the others."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dico.report.run_notes import keep_page
from dico.steps.compare_models import compare_models
from dico.steps.register_model import register_model
from dico.steps.report_run import report_run
from dico.tracking import scores_made
from dico.tracking.trackers import tracked


class Outputs(NamedTuple):
    """The version, whether it became the champion, whether the gate lets it, and why."""

    version: str
    promoted: str
    promote: str
    reasons: str


def conclude_run(
    manifest: str,
    evaluator: str,
    judge: str,
    xe_captioner: str,
    captioner: str,
    evaluation: str,
    audit: str,
    gate: str,
    registry: str,
    model_name: str,
    store: str,
    lineage: Mapping[str, Any],
    output_decision: str,
    output_report: str,
    output_version: str,
) -> Outputs:
    """Concludes a run; the report is kept in the store before anything is registered.

    Args:
        manifest: Parquet file.
        evaluator: folder of the evaluator.
        judge: folder of the independent evaluator, or one that says that there is none.
        xe_captioner: folder of the captioner after cross-entropy.
        captioner: folder of the captioner after fine-tuning.
        evaluation: folder written by evaluate_captions.
        audit: folder written by audit_evaluator.
        gate: `GateConfig` as JSON.
        registry: folder or s3:// prefix of the registry.
        model_name: name to register under.
        store: folder or s3:// prefix that keeps the report.
        lineage: what the model was made from.
        output_decision: JSON file to write.
        output_report: HTML file to write.
        output_version: JSON file to write.
    """
    judged = {"evaluator": evaluator, "captioner": captioner, "evaluation": evaluation}
    made_from = json.dumps(dict(lineage))
    decided = compare_models(evaluation, gate, output_decision, audit)
    report_run(
        **judged,
        manifest=manifest,
        xe_captioner=xe_captioner,
        decision=output_decision,
        lineage=made_from,
        audit=audit,
        output_report=output_report,
    )
    keep_page(store, "report.html", Path(output_report))
    registered = register_model(
        **judged,
        judge=judge,
        decision=output_decision,
        report=output_report,
        registry=registry,
        model_name=model_name,
        lineage=made_from,
        output_version=output_version,
    )
    with tracked("register_model", {"model_name": model_name, "version": registered.version}):
        promoted = float(registered.promoted == "true")
        scores_made({"promoted": promoted}, [decided.reasons])
    return Outputs(*registered, *decided)
