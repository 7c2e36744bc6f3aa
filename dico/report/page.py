"""The run's page: one HTML file without scripts or outside hosts, also Kubeflow's HTML artifact."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dico.audit.audit import read_audit
from dico.data.manifest import iter_manifest
from dico.data.toy.world import is_toy_dataset
from dico.errors import DataError
from dico.evaluation.systems import BASELINE, CANDIDATE, labels_of
from dico.metrics.catalogue import label_of
from dico.pages.rendering import render
from dico.report.histories import EVALUATOR_CHARTS, FINETUNE_CHARTS, XE_CHARTS, read_stage
from dico.report.images import select_images
from dico.report.summary import MetricTable, read_metrics, tabulate
from dico.storage import atomic_write
from dico.weights.origin import origins

_TILES = ("wholly_true", "pac_score", "cider", "recall_at_1", "rep_2")
_SHOWN_SCORES = ("pac_score", "cider")
_FIELD_LABELS = {
    "preset": "Preset",
    "overrides": "Overrides",
    "seed": "Seed",
    "dataset": "Dataset",
    "fingerprint": "Fingerprint",
    "code_version": "Code",
}


@dataclass(frozen=True, slots=True)
class Tile:
    """One number that matters, before and after fine-tuning."""

    label: str
    """Name of the metric."""

    before: str
    """Score after cross-entropy."""

    after: str
    """Score after fine-tuning."""

    change: str
    """Their difference with its interval."""

    verdict: str
    """better, worse or even."""


def write_report(
    output: Path,
    manifest: Path,
    evaluator: Path,
    xe_captioner: Path,
    captioner: Path,
    evaluation: Path,
    decision: Path,
    lineage: Mapping[str, Any],
    audit: Path | None = None,
) -> None:
    """Writes the page of a run.

    Args:
        output: where to write it.
        manifest: manifest of the dataset; its images must be readable.
        evaluator: model folder with the history of the evaluator's training.
        xe_captioner: model folder with the history of cross-entropy training.
        captioner: model folder with the history of fine-tuning.
        evaluation: folder with metrics.json and per_image.jsonl.
        decision: the gate's decision, JSON.
        lineage: what the run was made from, in names and values.
        audit: folder with the audit of the evaluator; None where there was none.

    Raises:
        DataError: an input is missing or not what it should be.
    """
    metrics = read_metrics(evaluation)
    table, labels = tabulate(metrics), labels_of(metrics)
    page = render(
        "dico.report",
        "report.html",
        title=_title(lineage),
        made=f"{datetime.now(UTC):%d %B %Y, %H:%M} UTC",
        decision=_read_decision(decision),
        tiles=_tiles(table, labels),
        table=table,
        stages=[
            read_stage(xe_captioner, "Cross-entropy", "xe", XE_CHARTS),
            read_stage(captioner, labels[CANDIDATE], "dico", FINETUNE_CHARTS),
            read_stage(evaluator, "Evaluator", "champion", EVALUATOR_CHARTS),
        ],
        images=select_images(evaluation, manifest, "pac_score"),
        num_images=metrics["num_images"],
        shown_scores=[(key, label_of(key)) for key in _SHOWN_SCORES],
        labels=labels,
        facts=_facts({**lineage, **origins(captioner, evaluator)}, manifest),
        audit=read_audit(audit) if audit else None,
    )
    with atomic_write(output) as path:
        path.write_text(page)


def _title(lineage: Mapping[str, Any]) -> str:
    place = str(lineage.get("dataset", ""))
    if is_toy_dataset(place):
        return "The toy dataset"
    dataset = Path(place)
    name = dataset.parent.name if dataset.stem == "dataset" else dataset.stem
    return f"{name}, preset {lineage['preset']}" if lineage.get("preset") else name


def _read_decision(path: Path) -> dict[str, Any]:
    try:
        decision: dict[str, Any] = json.loads(path.read_text())
        return {"promote": bool(decision["promote"]), "reasons": list(decision["reasons"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a decision of the gate: {error}") from None


def _tiles(table: MetricTable, labels: Mapping[str, str]) -> list[Tile]:
    before = table.columns.index(labels[BASELINE])
    after = table.columns.index(labels[CANDIDATE])
    change = table.columns.index(f"{labels[CANDIDATE]} − {labels[BASELINE]}")
    return [
        Tile(
            row.metric.label,
            row.cells[before].value,
            row.cells[after].value,
            str(row.cells[change]),
            row.cells[change].verdict,
        )
        for row in table.rows
        if row.metric.key in _TILES
    ]


def _facts(lineage: Mapping[str, Any], manifest: Path) -> list[tuple[str, str]]:
    """Lineage as names and values."""
    splits: dict[str, int] = {}
    num_captions = 0
    for record in iter_manifest(manifest):
        splits[record.split] = splits.get(record.split, 0) + 1
        num_captions += len(record.captions)
    counts = ", ".join(f"{num:,} {split}" for split, num in splits.items())
    facts = [("Images", counts), ("Captions", f"{num_captions:,}")]
    for key, value in lineage.items():
        shown = value if isinstance(value, str) else json.dumps(value)
        facts.append((_FIELD_LABELS.get(key, key.replace("_", " ").capitalize()), shown or "none"))
    return facts
