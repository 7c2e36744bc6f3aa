"""Names of the systems that an evaluation compares: keys in metrics.json, and as people read them."""

CANDIDATE, BASELINE, CHAMPION, HUMAN = "dico", "xe", "champion", "human"
SYSTEM_LABELS = {HUMAN: "Human", BASELINE: "XE", CANDIDATE: "DiCO", CHAMPION: "Champion"}
"""In the order of a table's columns."""


def label_of_system(name: str) -> str:
    """A system's name in tables; one that is not among those above is called what its file says."""
    return SYSTEM_LABELS.get(name, name)
