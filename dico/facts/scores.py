"""Truth of captions over many images: precision, recall, wholly true captions, errors by kind.

Precision is the share of statements that are true, recall the share of the scene's facts that are
named, an error rate the share of one kind's statements that are false; all from sums over images,
as CHAIR's rates are (Rohrbach et al., EMNLP 2018, which knows objects alone). B images.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dico.errors import DataError
from dico.facts.checking import Verdict, check_caption
from dico.facts.scene import Scene
from dico.facts.vocabulary import COUNT, Vocabulary

Floats = NDArray[np.float64]
_FIRST = ("true", "judged", "named", "facts", "wholly_true", "captions")


class FactScores(NamedTuple):
    """Rates over all captions.

    Attributes:
        precision: share of the statements that are true, higher is better.
        recall: share of the scenes' facts that are named, higher is better.
        wholly_true: share of captions that state something and nothing false, higher is better.
        wrong: kind of statement to the share that is false, lower is better. For counts: mentions
            of an object that no object is left for, over all mentions.
        counts: (B, M) counts of each caption, see `fact_columns`.
        verdicts: of each caption.
    """

    precision: float
    recall: float
    wholly_true: float
    wrong: dict[str, float]
    counts: Floats
    verdicts: list[Verdict]


def fact_columns(vocabulary: Vocabulary) -> tuple[str, ...]:
    """Names of the M counts: of statements, facts and captions, then false and all by kind."""
    pairs = [(f"wrong_{kind}", f"said_{kind}") for kind in vocabulary.kinds]
    return (*_FIRST, *(name for pair in pairs for name in pair))


def check_captions(
    captions: Sequence[str], scenes: Sequence[Scene | None], vocabulary: Vocabulary
) -> FactScores:
    """Judges captions, one an image; of an image whose scene is None nothing is known.

    Raises:
        DataError: different lengths, no caption.
    """
    if len(captions) != len(scenes) or not captions:
        raise DataError(f"facts: {len(captions)} captions for {len(scenes)} images")
    verdicts = [
        check_caption(caption, scene, vocabulary) if scene else Verdict((), 0, 0)
        for caption, scene in zip(captions, scenes, strict=True)
    ]
    rows = [_row(own, vocabulary) for own in verdicts]
    known = np.array([scene is not None for scene in scenes])
    counts = np.array(rows, np.float64) * known[:, None]
    rates = scores_from_sums(counts.sum(axis=0), vocabulary)
    precision, recall, wholly_true = (
        float(rates.pop(key)) for key in ("facts_precision", "facts_recall", "wholly_true")
    )
    wrong = {key.removeprefix("wrong_"): float(value) for key, value in rates.items()}
    return FactScores(precision, recall, wholly_true, wrong, counts, verdicts)


def scores_from_sums(sums: Floats, vocabulary: Vocabulary) -> dict[str, Floats]:
    """Rates (...) from sums of rows (..., M), by the metric's key."""
    column = dict(zip(fact_columns(vocabulary), np.moveaxis(sums, -1, 0), strict=True))
    mentions = column[f"said_{vocabulary.object_kind}"] + column[f"said_{COUNT}"]
    scores = {
        "facts_precision": _share(column["true"], column["judged"]),
        "facts_recall": _share(column["named"], column["facts"]),
        "wholly_true": _share(column["wholly_true"], column["captions"]),
    }
    for kind in vocabulary.kinds:
        said = mentions if kind == COUNT else column[f"said_{kind}"]
        scores[f"wrong_{kind.replace(' ', '_')}"] = _share(column[f"wrong_{kind}"], said)
    return scores


def _share(part: Floats, whole: Floats) -> Floats:
    share: Floats = part / np.maximum(1, whole)
    return share


def _row(verdict: Verdict, vocabulary: Vocabulary) -> list[float]:
    own = verdict.statements
    row: list[float] = [sum(s.true for s in own), len(own), verdict.num_named, verdict.num_facts]
    row += [verdict.wholly_true, 1]
    for kind in vocabulary.kinds:
        true = [s.true for s in own if s.kind == kind]
        row += [true.count(False), len(true)]
    return row
