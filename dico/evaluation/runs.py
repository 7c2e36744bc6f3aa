"""Finished runs of this machine side by side: one column a method, its seeds summarised.

A column is what several runs share that differ in their seed alone. With two seeds or more its
interval is Student's, over the runs' scores; with one it is that run's own, by bootstrap over images.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from dico.errors import DataError

RUN_FILE = "run.json"
_OVERRIDE = r'(?:[^\s"]|"[^"]*"?)+'
_T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
)  # fmt: skip
"""97.5 % points of Student's distribution by degrees of freedom, from 1."""
_Z_975 = 1.960


@dataclass(frozen=True)
class Run:
    """One run's folder."""

    name: str
    """Its folder's name."""
    pipeline: str
    """Name of the pipeline."""
    status: str
    """done, failed or interrupted."""
    started: str
    """When, ISO 8601."""
    seconds: float
    """How long it took."""
    parameters: Mapping[str, Any]
    """Of the pipeline."""
    metrics: Mapping[str, Any]
    """The content of its evaluation's metrics.json; empty where it has none."""
    steps: Sequence[Mapping[str, Any]] = ()
    """``step``, ``status`` and ``seconds`` of each."""

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.parameters.get("seed", 0))

    @property
    def method(self) -> tuple[str, ...]:
        """Preset, dataset and overrides: all that makes it another method than another run."""
        overrides = re.findall(_OVERRIDE, str(self.parameters.get("overrides", "")))
        dataset = Path(str(self.parameters.get("dataset", ""))).stem
        return (str(self.parameters.get("preset", "")), *([dataset] if dataset else []), *overrides)


@dataclass(frozen=True)
class Score:
    """A metric of one method."""

    mean: float
    low: float | None
    """Ends of its 95 % interval; None where there is none."""
    high: float | None

    def __str__(self) -> str:
        bounds = "" if self.low is None else f" [{self.low:.4f}, {self.high:.4f}]"
        return f"{self.mean:.4f}{bounds}"


def read_run(folder: Path) -> Run:
    """Reads a run's folder.

    Raises:
        DataError: no run's folder.
    """
    try:
        content = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        metrics = folder / "evaluation" / "metrics.json"
        scores = json.loads(metrics.read_text(encoding="utf-8")) if metrics.is_file() else {}
        named = {key: content[key] for key in ("pipeline", "status", "started", "seconds")}
        steps = content.get("steps", [])
        return Run(
            folder.name, parameters=content["parameters"], metrics=scores, steps=steps, **named
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: not the folder of a run: {error}") from None


def read_runs(runs: Path) -> list[Run]:
    """The runs in a folder, newest first."""
    found = [read_run(path.parent) for path in runs.glob(f"*/{RUN_FILE}")]
    return sorted(found, key=lambda run: run.started, reverse=True)


def methods_of(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs by what tells their method from the others' in a few words.

    Raises:
        DataError: two runs of one method have one seed.
    """
    grouped: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        grouped.setdefault(run.method, []).append(run)
    shared = set.intersection(*(set(method) for method in grouped))
    named: dict[str, list[Run]] = {}
    for method, own in grouped.items():
        seeds = [run.seed for run in own]
        if len(set(seeds)) < len(seeds):
            names = ", ".join(run.name for run in own)
            raise DataError(f"{names}: the same method and seed twice; compare one of them")
        label = " ".join(part for part in method if part not in shared) or method[0]
        named[label] = sorted(own, key=lambda run: run.seed)
    return named


def score_of(runs: Sequence[Run], system: str, metric: str) -> Score | None:
    """A metric over the seeds of one method; None where a run lacks it."""
    values = [run.metrics.get("systems", {}).get(system, {}).get(metric) for run in runs]
    if any(value is None for value in values):
        return None
    if len(values) > 1:
        return _interval(values)
    bounds = runs[0].metrics.get("intervals", {}).get(system, {}).get(metric) or (None, None)
    return Score(values[0], *bounds)


def difference_of(
    runs: Sequence[Run], others: Sequence[Run], system: str, metric: str
) -> Score | None:
    """The others' metric minus the first's, paired by seed; None with fewer than two pairs."""
    by_seed = {run.seed: run for run in others}
    pairs = [(run, by_seed[run.seed]) for run in runs if run.seed in by_seed]
    changes = []
    for run, other in pairs:
        before, after = score_of([run], system, metric), score_of([other], system, metric)
        if before is None or after is None:
            return None
        changes.append(after.mean - before.mean)
    return _interval(changes) if len(changes) > 1 else None


def metrics_of(runs: Sequence[Run], system: str) -> Iterator[str]:
    """Keys of all metrics, in the order of the first run that has them."""
    own = (run.metrics.get("systems", {}).get(system, {}) for run in runs)
    yield from dict.fromkeys(key for scores in own for key in scores)


def _interval(values: Sequence[float]) -> Score:
    freedom = len(values) - 1
    t = _T_975[freedom - 1] if freedom <= len(_T_975) else _Z_975
    mean, half = fmean(values), t * stdev(values) / math.sqrt(len(values))
    return Score(mean, mean - half, mean + half)
