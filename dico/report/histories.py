"""Training histories as charts: one small chart per quantity, one group per stage."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dico.errors import DataError
from dico.process.progress import format_seconds
from dico.report.charts import Chart, Series
from dico.storage.json_files import read_object

# Key in history.jsonl, title, and how to read it. A key that was not recorded is left out.
EVALUATOR_CHARTS = (
    ("loss", "Loss", "contrastive, in nats"),
    ("validation_recall_at_1", "R@1", "a caption of the validation split finds its image first"),
)
XE_CHARTS = (
    ("loss", "Loss", "cross-entropy per token, in nats"),
    ("validation_cider", "CIDEr", "on a slice of the validation split"),
    ("validation_pac_score", "PAC-S", "on a slice of the validation split"),
)
FINETUNE_CHARTS = (
    ("loss", "Loss", "the DiCO loss of the batch"),
    ("reward", "Reward", "mean of all candidates of the batch"),
    ("reward_winner", "Reward of winners", "mean of the best candidate of each image"),
    ("validation_cider", "CIDEr", "on a slice of the validation split"),
    ("validation_pac_score", "PAC-S", "on a slice of the validation split"),
    ("kl", "Divergence", "from the cross-entropy model, in nats per caption"),
    ("num_words", "Length", "words per candidate"),
    ("rep_2", "Rep-2", "repeated bigrams per candidate"),
    ("bad_endings", "Bad endings", "share of candidates broken off at the end"),
    ("gamma_entropy", "Entropy of weights", "of the losers' weights, in nats"),
    ("accuracy", "Accuracy", "share of losers that the policy ranks below the winner"),
    ("margin", "Margin", "between winner and losers, in nats"),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of training."""

    title: str
    """Its name."""

    style: str
    """Class of its lines on the page."""

    facts: tuple[tuple[str, str], ...]
    """What was done, in names and values."""

    charts: tuple[Chart, ...]
    """Its curves."""

    config: str
    """Its settings, as indented JSON."""

    events: tuple[str, ...] = ()
    """What happened that a reader must know, such as a return to a checkpoint; oldest first."""


def read_stage(
    folder: Path, title: str, style: str, charts: Sequence[tuple[str, str, str]]
) -> Stage:
    """Reads ``history.jsonl`` and ``training.json`` of a model's folder."""
    history = _read_lines(folder / "history.jsonl")
    training = read_object(folder / "training.json", "what training wrote", optional=True)
    drawn = [_chart(history, key, name, how, style) for key, name, how in charts]
    facts = []
    if history:
        facts.append(("steps", f"{int(history[-1]['step']):,}"))
        seconds = [row["seconds"] for row in history if "seconds" in row]
        facts += [("time", format_seconds(max(seconds)))] if seconds else []
    config = json.dumps(training.get("config", training), indent=2, sort_keys=True)
    events = tuple(str(event) for row in history for event in row.get("events", ()))
    shown = tuple(chart for chart in drawn if chart.series)
    return Stage(title, style, tuple(facts), shown, config, events)


def _chart(
    history: Sequence[dict[str, Any]], key: str, title: str, explanation: str, style: str
) -> Chart:
    points = [(float(r["step"]), float(r[key])) for r in history if r.get(key) is not None]
    kind = "validation" if key.startswith("validation_") else style
    return Chart(title, explanation, [Series(title, points, kind)] if points else [])


def _read_lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    except ValueError as error:
        raise DataError(f"{path}: not JSON lines: {error}") from None
