"""Agreement of metrics and raters: Kendall's tau, pairwise accuracy, Krippendorff's alpha.

scipy and krippendorff do the statistics. Tau is taken over single ratings, each rater's on its own,
as CLIPScore's authors do (Hessel et al., EMNLP 2021); pairwise accuracy over captions of one image
that people rate differently, where a metric's tie is half.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dico.errors import DataError
from dico.people.judgements import Judgement
from dico.people.published import Rated, Ratings, Scale

Floats = NDArray[np.float64]


class Agreement(NamedTuple):
    """One metric against people.

    Attributes:
        tau_b: Kendall's tau-b, corrected for ties in both, in [-1, 1].
        tau_c: Kendall's (Stuart's) tau-c, for scales of different lengths, in [-1, 1].
        accuracy: how often the metric prefers the caption that people prefer, in [0, 1].
        num_pairs: pairs of captions that people rate differently.
        by_category: accuracy by kind of pair, where there are kinds.
    """

    tau_b: float
    tau_c: float
    accuracy: float
    num_pairs: int
    by_category: dict[str, float]


def agree(ratings: Ratings, scores: Mapping[str, Floats]) -> dict[str, Agreement]:
    """Each metric's agreement with people.

    Args:
        ratings: rated captions.
        scores: {metric: (N,) its score of each rated caption, higher is better}.

    Raises:
        DataError: no rated caption, or scores of another number.
    """
    if not ratings.rated:
        raise DataError("no judgement to agree with")
    return {name: _agreement(ratings.rated, np.asarray(own), name) for name, own in scores.items()}


def alpha(ratings: Ratings) -> float | None:
    """Krippendorff's alpha of the raters; None where each caption has one rating or all are equal."""
    width = max(len(own.ratings) for own in ratings.rated)
    table = np.full((width, len(ratings.rated)), np.nan)
    for place, own in enumerate(ratings.rated):
        table[: len(own.ratings), place] = own.ratings
    return _alpha(table, ratings.scale)


def alpha_of_choices(judgements: Sequence[Judgement]) -> float | None:
    """Krippendorff's alpha of the choices, as names; None for one rater or one choice."""
    raters = list(dict.fromkeys(own.rater for own in judgements))
    images = list(dict.fromkeys(own.image_id for own in judgements))
    choices = list(dict.fromkeys(own.chosen for own in judgements))
    table = np.full((len(raters), len(images)), np.nan)
    for own in judgements:
        place = raters.index(own.rater), images.index(own.image_id)
        table[place] = choices.index(own.chosen)
    return _alpha(table, "nominal")


def _alpha(table: Floats, scale: Scale) -> float | None:
    import krippendorff

    several = (~np.isnan(table)).sum(axis=0) > 1
    if not several.any() or len(np.unique(table[:, several][~np.isnan(table[:, several])])) < 2:
        return None
    return float(krippendorff.alpha(reliability_data=table, level_of_measurement=scale))


def _agreement(rated: Sequence[Rated], scores: Floats, name: str) -> Agreement:
    from scipy.stats import kendalltau

    if len(scores) != len(rated):
        raise DataError(f"{name}: {len(scores)} scores for {len(rated)} rated captions")
    repeats = [len(own.ratings) for own in rated]
    single = np.array([rating for own in rated for rating in own.ratings])
    repeated = np.repeat(scores, repeats)
    tau_b = float(kendalltau(repeated, single, variant="b").statistic)
    tau_c = float(kendalltau(repeated, single, variant="c").statistic)
    wins: dict[str, list[float]] = {}
    for one, other in _pairs(rated):
        gap = (scores[one] - scores[other]) * np.sign(rated[one].rating - rated[other].rating)
        wins.setdefault(rated[one].category, []).append(0.5 * float(np.sign(gap) + 1))
    everything = [win for own in wins.values() for win in own]
    by_category = {kind: float(np.mean(own)) for kind, own in sorted(wins.items()) if kind}
    accuracy = float(np.mean(everything)) if everything else float("nan")
    return Agreement(tau_b, tau_c, accuracy, len(everything), by_category)


def _pairs(rated: Sequence[Rated]) -> list[tuple[int, int]]:
    """Captions of one group that people rate differently."""
    groups: dict[str, list[int]] = {}
    for place, own in enumerate(rated):
        groups.setdefault(own.group, []).append(place)
    return [
        (one, other)
        for places in groups.values()
        for one, other in combinations(places, 2)
        if rated[one].rating != rated[other].rating
    ]
