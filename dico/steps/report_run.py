"""Step: the run's report as one self-contained page."""

import json
from pathlib import Path

from dico.process.provenance import code_version
from dico.report.page import write_report


def report_run(
    manifest: str,
    evaluator: str,
    xe_captioner: str,
    captioner: str,
    evaluation: str,
    decision: str,
    lineage: str,
    output_report: str,
    audit: str = "",
) -> None:
    """Writes the page; see `dico.report.page.write_report`.

    Args:
        manifest: Parquet file.
        evaluator: folder of the evaluator.
        xe_captioner: folder of the captioner after cross-entropy.
        captioner: folder of the captioner after fine-tuning.
        evaluation: folder written by evaluate_captions.
        decision: JSON file written by compare_models.
        lineage: names and values of what the run was made from, JSON.
        output_report: HTML file to write.
        audit: folder written by audit_evaluator; empty where there is none.
    """
    Path(output_report).parent.mkdir(parents=True, exist_ok=True)
    write_report(
        output=Path(output_report),
        manifest=Path(manifest),
        evaluator=Path(evaluator),
        xe_captioner=Path(xe_captioner),
        captioner=Path(captioner),
        evaluation=Path(evaluation),
        decision=Path(decision),
        lineage={**json.loads(lineage), "code_version": code_version()},
        audit=Path(audit) if audit else None,
    )
