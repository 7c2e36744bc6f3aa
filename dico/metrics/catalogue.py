"""Catalogue of metrics: the name, meaning, direction and precision of every score that is shown.

A key of metrics.json is looked up here and nowhere else. Families with a number in their keys
(``bleu_4``, ``recall_at_5``) and the shares of false statements by kind (``wrong_shape``) are
described once for all members.
"""

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """How one metric is shown."""

    key: str
    """Its key in metrics.json."""

    label: str
    """Its name in tables."""

    explanation: str
    """What it says, in a few words."""

    higher_is_better: bool | None = True
    """None where neither direction is better."""

    digits: int = 3
    """Decimals shown in a run's table."""

    in_summary: bool = False
    """Whether a run's table and model card show it."""


def _shown(
    key: str, label: str, explanation: str, higher_is_better: bool | None = True, digits: int = 3
) -> Metric:
    return Metric(key, label, explanation, higher_is_better, digits, in_summary=True)


CATALOGUE = (
    _shown("wholly_true", "Wholly true", "captions that state nothing false, by the scene's facts"),
    _shown("facts_precision", "True statements", "statements that are true of the scene"),
    _shown("facts_recall", "Facts named", "facts of the scene that the caption names"),
    _shown(
        "judge_likelihood",
        "Likelihood, independent",
        "nats that the image adds to a caption, by an evaluator that nothing was tuned on",
        digits=2,
    ),
    _shown("judge_score", "Score, independent", "image against caption, by the same evaluator"),
    _shown(
        "judge_recall_at_1",
        "R@1, independent",
        "how often the caption finds its own image first, by the same evaluator",
    ),
    _shown("pac_score", "PAC-S", "image against caption, by the evaluator that rewards come from"),
    _shown("ref_pac_score", "RefPAC-S", "PAC-S and closeness to the human captions"),
    _shown("clip_score", "CLIP-S", "image against caption, by the evaluator's base weights"),
    Metric("ref_clip_score", "RefCLIP-S", "CLIP-S and closeness to the human captions"),
    _shown("cider", "CIDEr", "n-grams shared with the human captions, rare ones counting more"),
    Metric("cider_d", "CIDEr-D", "CIDEr with clipped counts and a penalty for length"),
    _shown("bleu_4", "BLEU-4", "runs of four words shared with a human caption"),
    _shown("meteor", "METEOR", "words matched with a human caption, up to stems and synonyms"),
    _shown("rouge_l", "ROUGE-L", "longest common subsequence with a human caption"),
    Metric("spice", "SPICE", "objects, attributes and relations shared with the human captions"),
    Metric("bert_score", "BERTScore", "words matched with a human caption by their embeddings"),
    _shown(
        "recall_at_1", "R@1", "how often the caption finds its own image first, by that evaluator"
    ),
    Metric("mrr", "MRR", "mean of 1 / rank of the caption's own image"),
    _shown("rep_2", "Rep-2", "repeated bigrams per caption", False),
    _shown("bad_endings", "Bad endings", "share of captions broken off at the end", False),
    Metric(
        "unseen_bigrams", "Unseen bigrams", "pairs of words that no training caption has", False
    ),
    Metric("said_again", "Said again", "captions with words twice in a row or a run again", False),
    Metric("no_sentence", "No sentence", "captions that are a salad or a list of words", False),
    Metric(
        "appended",
        "Appended",
        "captions that end on a stock phrase which nobody says of the image",
        False,
    ),
    Metric("common_caption", "Common caption", "images that get the commonest caption", False),
    Metric("too_long", "Too long", "captions twice as long as any by a person", False),
    Metric(
        "odd_writing",
        "Odd writing",
        "captions in capitals, full of marks, or in letters that no person uses",
        False,
    ),
    _shown("num_words", "Words", "words per caption", None, 1),
    Metric("vocabulary_size", "Vocabulary", "different words in all captions", None),
    Metric("chair_i", "CHAIR-i", "share of mentioned objects that are not in the image", False),
    Metric("chair_s", "CHAIR-s", "share of captions with such an object", False),
    Metric("chair_recall", "CHAIR recall", "share of the image's objects that are mentioned"),
    Metric("self_bleu", "Self-BLEU", "how alike the captions are to each other", False),
)
_FAMILIES = {
    "bleu": Metric("", "BLEU-{}", "runs of {} words shared with a human caption"),
    "rep": Metric("", "Rep-{}", "repeated runs of {} words per caption", False),
    "recall": Metric("", "R@{}", "how often the caption finds its own image among the first {}"),
    "div": Metric("", "Div-{}", "different runs of {} words over all of them"),
}
_ERRORS, _JUDGES = "wrong_", "judge_"
_BY_KEY = {metric.key: metric for metric in CATALOGUE}


def metric_of(key: str) -> Metric:
    """How the metric ``key`` is shown; one that no entry describes is named by its key."""
    if key in _BY_KEY:
        return _BY_KEY[key]
    if key.startswith(_ERRORS):
        kind = key.removeprefix(_ERRORS)
        meaning = f"statements of {kind} that are false"
        return Metric(key, f"Wrong {kind}", meaning, False, in_summary=True)
    if key.startswith(_JUDGES):
        name = key.removeprefix(_JUDGES)
        meaning = f"by the judge {name} of another package"
        return Metric(key, f"Judge {name}", meaning, in_summary=True)
    first, *rest = key.split("_")
    number = next((word for word in rest if word.isdigit()), "")
    if not number:
        return Metric(key, " ".join([first.capitalize(), *rest]), "")
    family = _FAMILIES.get(first, Metric("", f"{first.capitalize()}-{{}}", ""))
    label, meaning = family.label.format(number), family.explanation.format(number)
    if "share" in rest:
        label, meaning = f"{label}, share", f"{meaning}, over all of its runs"
    return dataclasses.replace(family, key=key, label=label, explanation=meaning)


def label_of(key: str) -> str:
    """A metric's name as people write it."""
    return metric_of(key).label


def summary_of(keys: set[str]) -> list[Metric]:
    """The metrics among ``keys`` that a run's table shows, in its order.

    Judges of other packages come first, errors by kind last.
    """
    judges = sorted(key for key in keys if key.startswith(_JUDGES) and key not in _BY_KEY)
    named = [metric for metric in CATALOGUE if metric.in_summary and metric.key in keys]
    errors = sorted(key for key in keys if key.startswith(_ERRORS))
    return [*map(metric_of, judges), *named, *map(metric_of, errors)]


def verdict_of(key: str, low: float, high: float) -> str:
    """What a difference means whose interval is [low, high]: better, worse or even.

    Even is one that may be chance, and any of a metric of which neither direction is better.
    """
    higher = metric_of(key).higher_is_better
    if higher is None or low <= 0 <= high:
        return "even"
    return "better" if (low > 0) == higher else "worse"
