"""The numbers of an audit: rates over pairs of captions, ranks among images, intervals by bootstrap.

B images, P of a pool, N pairs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dico.audit.config import AuditConfig
from dico.audit.items import Item, Pair
from dico.audit.judges import Floats, Judge
from dico.facts.reading import caption_words
from dico.metrics.bootstrap import interval, resample_sums

_ROWS_AT_ONCE = 4096
_ROUNDING = 1e-5
_MOST_COST = 100.0


class Rate(NamedTuple):
    """A mean with its interval."""

    value: float
    low: float
    high: float
    num: int

    def __str__(self) -> str:
        """Reads ``.87 [.83, .91]``."""
        return " ".join([_short(self.value), f"[{_short(self.low)}, {_short(self.high)}]"])


class Scored(NamedTuple):
    """Pairs with their scores.

    Attributes:
        pairs: N pairs.
        own: (N, 2) scores of the caption and of the edited one under their image.
        others: (N, 2) their mean scores under other images; of false edits alone.
    """

    pairs: list[Pair]
    own: Floats
    others: Floats

    @property
    def margins(self) -> Floats:
        """(N,) by how much the human caption is preferred under its image."""
        margins: Floats = self.own[:, 0] - self.own[:, 1]
        return margins

    @property
    def seen(self) -> Floats:
        """(N,) how much of that comes from seeing this image; rounding errors are none of it."""
        seen: Floats = self.margins - (self.others[:, 0] - self.others[:, 1])
        least = _ROUNDING * float(np.std(self.own)) if len(self.pairs) else 0.0
        return np.where(np.abs(seen) > least, seen, 0.0)


class Ranking(NamedTuple):
    """How human captions find their image in a pool.

    Attributes:
        recall_at_1: how often it comes first; ties share the place.
        chance: what a blind guess reaches, one in the size of a pool.
        outranked: share of the pool's other images that the own one outranks; chance is .5.
    """

    recall_at_1: Rate
    chance: float
    outranked: Rate


def score_pairs(
    judge: Judge, items: Sequence[Item], pairs: Sequence[Pair], config: AuditConfig
) -> Scored:
    """Scores both captions of each pair under its image and under others, drawn by chance.

    What was added to a caption is false of most other images too, so such a pair is compared with
    the image that the addition belongs to.
    """
    rng = np.random.default_rng(config.seed)
    rows = [(pair.caption, pair.edited) for pair in pairs]
    own = np.array([pair.item for pair in pairs])
    scores = _score(judge, [items[k].key for k in own], rows)
    false = np.flatnonzero([pair.purpose == "false" for pair in pairs])
    steps = rng.integers(1, len(items), (config.num_other_images, len(false)))
    stranger = np.array([pairs[int(k)].stranger for k in false])
    shown = np.where(stranger < 0, (own[false] + steps) % len(items), stranger)
    asked = [rows[k] for k in false]
    tables = [_score(judge, [items[k].key for k in places], asked) for places in shown]
    others = np.full_like(scores, np.nan)
    others[false] = np.mean(tables, axis=0)
    return Scored(list(pairs), scores, others)


def rank_images(judge: Judge, items: Sequence[Item], config: AuditConfig) -> Ranking:
    """Ranks each pool of images for a caption of each, a random one of people's."""
    rng = np.random.default_rng(config.seed)
    captions = [" ".join(caption_words(rng.choice(list(item.captions)))) for item in items]
    size = min(config.pool_size, len(items))
    order = rng.permutation(len(items))
    first, beaten = np.empty(len(items)), np.empty(len(items))
    for start in range(0, len(items), size):
        pool = order[max(0, min(start, len(items) - size)) :][:size]
        told = [captions[k] for k in pool]
        table = _score(judge, [items[k].key for k in pool], [told] * size)  # images x captions
        own = np.diagonal(table)
        higher, equal = (table > own).sum(axis=0), (table == own).sum(axis=0) - 1
        first[pool] = (higher == 0) / (equal + 1)
        beaten[pool] = 1 - (higher + equal / 2) / (size - 1)
    places = np.arange(len(items))
    return Ranking(rate_of(first, places, config), 1 / size, rate_of(beaten, places, config))


def preference(margins: Floats, pairs: Sequence[Pair], config: AuditConfig) -> Rate:
    """How often the margin is in favour of the first caption; ties are half."""
    wins = (margins > 0) + 0.5 * (margins == 0)
    return rate_of(wins, np.array([pair.item for pair in pairs]), config)


def rate_of(values: Floats, places: NDArray[np.int64], config: AuditConfig) -> Rate:
    """The mean of values that belong to images, resampled by image."""
    sums, _ = _by_image(np.stack([values, np.ones_like(values)], axis=1), places)
    resampled = resample_sums(sums, config.num_resamples, config.seed)
    low, high = interval(resampled[:, 0] / resampled[:, 1], config.confidence)
    return Rate(float(values.mean()), low, high, len(values))


def relative_cost(harmless: Scored, false: Scored, config: AuditConfig) -> Rate:
    """Mean margin of harmless edits in units of that of false ones.

    Where false edits cost nothing on average there is no such unit: the rate is as high as it gets.
    """
    both = np.concatenate([harmless.margins, false.margins])
    mine = np.arange(len(both)) < len(harmless.pairs)
    table = np.stack([both * mine, mine, both * ~mine, ~mine], axis=1).astype(np.float64)
    places = np.array([pair.item for pair in (*harmless.pairs, *false.pairs)])
    sums, _ = _by_image(table, places)
    resampled = resample_sums(sums, config.num_resamples, config.seed)
    low, high = interval(_ratio(resampled), config.confidence)
    return Rate(float(_ratio(sums.sum(axis=0))), low, high, len(harmless.pairs))


def _ratio(sums: Floats) -> Floats:
    cost, num, unit, num_false = np.moveaxis(sums, -1, 0)
    costs, units = cost / np.maximum(num, 1), unit / np.maximum(num_false, 1)
    ratio: Floats = np.where(units > 0, costs / np.where(units > 0, units, 1.0), np.inf)
    return np.clip(ratio, -_MOST_COST, _MOST_COST)


def gain_per_phrase(scored: Scored, spread: float, config: AuditConfig) -> Rate:
    """What each appended phrase adds to the score, in standard deviations of human captions."""
    numbers = np.array([float(pair.kind.rpartition(" ")[2]) for pair in scored.pairs])
    gains = -scored.margins / numbers / max(spread, 1e-12)
    return rate_of(gains, np.array([pair.item for pair in scored.pairs]), config)


def _by_image(table: Floats, places: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
    """Sums of rows by image, for the images that have any."""
    images, index = np.unique(places, return_inverse=True)
    sums = np.zeros((len(images), table.shape[1]))
    np.add.at(sums, index, table)
    return sums, images


def _score(judge: Judge, keys: list[str], rows: Sequence[Sequence[str]]) -> Floats:
    parts = [
        judge.score(keys[start : start + _ROWS_AT_ONCE], rows[start : start + _ROWS_AT_ONCE])
        for start in range(0, len(keys), _ROWS_AT_ONCE)
    ]
    return np.concatenate(parts).astype(np.float64)


def _short(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.2f}"
