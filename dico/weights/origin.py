"""Origin of an evaluator and a captioner, in a sentence each, for the report and the card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dico.models.sources import read_sources
from dico.storage.json_files import read_object

TRAINING_FILE = "training.json"
_ADAPTED = {
    "none": "as published",
    "projections": "its projections adapted to this dataset (PAC-S)",
    "lora": "adapted to this dataset by low-rank updates (PAC-S++)",
    "all": "all of its weights adapted to this dataset",
}


def origins(captioner: Path, evaluator: Path) -> dict[str, str]:
    """``captioner_origin`` and ``evaluator_origin``, of the folders that training wrote.

    And ``base_model``, the name of the published captioner that training began from, if it did.
    """
    told = {
        "captioner_origin": captioner_origin(captioner),
        "evaluator_origin": evaluator_origin(evaluator),
    }
    pins = base_of(captioner)
    return told | ({"base_model": str(pins["checkpoint"]["name"])} if "checkpoint" in pins else {})


def base_of(folder: Path) -> dict[str, Any]:
    """Pins of the published weights that a captioner's training began from; empty if there are none."""
    facts = _facts(folder)
    return dict(facts.get("published") or facts.get("base") or {})


def captioner_origin(folder: Path) -> str:
    """Where a captioner began."""
    pins = base_of(folder)
    if "checkpoint" not in pins:
        return "trained from random weights"
    return f"trained from {_named(pins['checkpoint'])}"


def evaluator_origin(folder: Path) -> str:
    """What judged, and whether it knows the dataset."""
    facts = _facts(folder)
    pins = facts.get("published") or {}
    if sources := read_sources(folder):
        told = "; ".join(
            f"{s['package']} (licence {s['licence']}, trained on {s['trained_on']})"
            for s in sources
        )
        return f"towers as published, the maps between them trained on this dataset: {told}"
    if not pins:
        return "trained from random weights on this dataset"
    parts = [_named(pins["clip"])]
    if "pac" in pins:
        parts.append(f"tuned weights {_named(pins['pac'])}")
    parts.append(_ADAPTED.get(facts.get("adapted", "none"), "adapted"))
    retrieval = facts.get("retrieval")
    if retrieval:
        before, after = (retrieval[when].get("recall_at_1", 0.0) for when in ("before", "after"))
        parts.append(f"R@1 of human captions on validation images {before:.3f}, then {after:.3f}")
    if "tower" in pins:
        parts.append(f"the captioner's tower is {_named(pins['tower'])}")
    return "; ".join(parts)


def _named(pin: Mapping[str, Any]) -> str:
    facts = [f"commit {pin['commit'][:12]}"] if pin.get("commit") else []
    facts.append(f"SHA-256 {pin['sha256'][:12]}")
    facts.append(f"licence {pin['licence']}" if pin.get("licence") else "licence not stated")
    if pin.get("trained_on") or pin.get("commit"):
        facts.append(f"trained on {pin.get('trained_on') or 'data that its card does not name'}")
    return f"{pin['name']} ({', '.join(facts)})"


def _facts(folder: Path) -> dict[str, Any]:
    return read_object(folder / TRAINING_FILE, "what training wrote", optional=True)
