"""Names of the systems that an evaluation compares: keys in metrics.json, and as people read them."""

from collections.abc import Mapping
from typing import Any

CANDIDATE, BASELINE, CHAMPION, HUMAN = "dico", "xe", "champion", "human"
PRETRAINED = "pretrained"
"""A published captioner before any training here."""
SYSTEM_LABELS = {
    HUMAN: "Human",
    PRETRAINED: "Pretrained",
    BASELINE: "XE",
    CANDIDATE: "DiCO",
    CHAMPION: "Champion",
}
"""In the order of a table's columns."""


METHOD_LABELS = {"dico": "DiCO", "scst": "SCST"}
"""What the candidate is called, by how it was fine-tuned."""


def labels_of(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Names of the systems in an evaluation's tables.

    The candidate is called by its method, and its start "Pretrained" where fine-tuning began with a
    published captioner as it is.
    """
    settings = metrics.get("settings", {})
    method = settings.get("method", CANDIDATE)
    start = SYSTEM_LABELS[settings.get("start", BASELINE)]
    return SYSTEM_LABELS | {CANDIDATE: METHOD_LABELS.get(method, method), BASELINE: start}


def label_of_system(name: str, labels: Mapping[str, str] = SYSTEM_LABELS) -> str:
    """A system's name in tables; one that is not among ``labels`` is called what its file says."""
    return labels.get(name, name)
