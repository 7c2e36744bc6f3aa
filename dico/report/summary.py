"""An evaluation's numbers as a table, for a terminal and for a page."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dico.errors import DataError
from dico.evaluation.systems import (
    BASELINE,
    CANDIDATE,
    CHAMPION,
    SYSTEM_LABELS,
    label_of_system,
    labels_of,
)
from dico.metrics.catalogue import Metric, summary_of, verdict_of

_EVALUATOR_SCORES = {"clip": "CLIP-S", "pac": "PAC-S"}


@dataclass(frozen=True, slots=True)
class Cell:
    """A number with its interval."""

    value: str
    """The number; a dash where there is none."""

    interval: str = ""
    """Its interval, ``[low, high]``."""

    verdict: str = ""
    """better, worse or even for a difference; nothing for a score."""

    def __str__(self) -> str:
        """The number and its interval in one line."""
        return f"{self.value} {self.interval}".strip()


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of all systems."""

    metric: Metric
    """What is measured."""

    cells: tuple[Cell, ...]
    """One per column of the table."""


@dataclass(frozen=True, slots=True)
class MetricTable:
    """All metrics of all systems, and the candidate's difference to its start."""

    columns: tuple[str, ...]
    """Names of the systems, and of the differences."""

    rows: tuple[Row, ...]
    """One per metric that some system has."""

    notes: tuple[str, ...]
    """How to read it, and what is missing."""


def read_metrics(evaluation: str | Path) -> dict[str, Any]:
    """The content of an evaluation's metrics.json.

    Raises:
        DataError: it is missing or not what it should be.
    """
    path = Path(evaluation) / "metrics.json"
    try:
        metrics: dict[str, Any] = json.loads(path.read_text())
        if not isinstance(metrics["systems"], dict):
            raise TypeError("systems is not an object")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not an evaluation's metrics: {error}") from None
    return metrics


def headline(evaluation: str | Path, output: str | Path) -> dict[str, float]:
    """The candidate's finite metrics, which are also written to ``output`` as JSON."""
    systems = read_metrics(evaluation)["systems"]
    own = systems.get(CANDIDATE) or next(iter(systems.values()))
    finite = {key: float(value) for key, value in own.items() if math.isfinite(value)}
    Path(output).write_text(json.dumps(finite, indent=1, sort_keys=True) + "\n")
    return finite


def tabulate(metrics: Mapping[str, Any]) -> MetricTable:
    """Arranges metrics.json: a row a metric, a column a system, last what fine-tuning changed."""
    systems = [name for name in SYSTEM_LABELS if name in metrics["systems"]]
    systems += [name for name in metrics["systems"] if name not in SYSTEM_LABELS]
    pairs = [
        (CANDIDATE, other)
        for other in (BASELINE, CHAMPION)
        if f"{CANDIDATE} - {other}" in metrics["differences"]
    ]
    keys = {key for name in systems for key in metrics["systems"][name]}
    rows = []
    for metric in summary_of(keys):
        cells = [_score(metrics, name, metric) for name in systems]
        cells += [_difference(metrics, f"{one} - {other}", metric) for one, other in pairs]
        rows.append(Row(metric, tuple(cells)))
    labels = labels_of(metrics)
    columns = [label_of_system(name, labels) for name in systems]
    columns += [f"{labels[one]} − {labels[other]}" for one, other in pairs]
    return MetricTable(tuple(columns), tuple(rows), _notes(metrics))


def _score(metrics: Mapping[str, Any], system: str, metric: Metric) -> Cell:
    value = metrics["systems"][system].get(metric.key)
    if value is None:
        return Cell("–")
    bounds = metrics["intervals"].get(system, {}).get(metric.key)
    interval = f"[{bounds[0]:.{metric.digits}f}, {bounds[1]:.{metric.digits}f}]" if bounds else ""
    return Cell(f"{value:.{metric.digits}f}", interval)


def _difference(metrics: Mapping[str, Any], pair: str, metric: Metric) -> Cell:
    found = metrics["differences"][pair].get(metric.key)
    if found is None:
        return Cell("–")
    digits, low, high = metric.digits, found["low"], found["high"]
    interval = f"[{low:+.{digits}f}, {high:+.{digits}f}]"
    return Cell(f"{found['difference']:+.{digits}f}", interval, verdict_of(metric.key, low, high))


def _notes(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    settings = metrics.get("settings", {})
    confidence = settings.get("confidence", 0.95)
    notes = [
        f"{metrics['num_images']} test images; in brackets {confidence:.0%} intervals by "
        f"bootstrap over images, paired for differences."
    ]
    finder, used = settings.get("retrieval"), settings.get("w", {})
    if used and any("recall_at_1" in system for system in metrics["systems"].values()):
        finder = finder if finder in used else next(iter(used))
        notes.append(f"R@1: images found by the embeddings behind {_EVALUATOR_SCORES[finder]}.")
    return (*notes, *metrics.get("warnings", []), *metrics.get("notes", []))
