"""Bootstrap intervals over images (Efron, 1979; Koehn, EMNLP 2004, for comparisons).

A resample draws as many images as there are, with repetition; only how often each was drawn
matters, so all resamples of all metrics are one matrix product. N images, R resamples.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_BLOCK_CELLS = 2_000_000


class Interval(NamedTuple):
    """Percentile interval of a score."""

    low: float
    high: float


class Difference(NamedTuple):
    """One system's score minus another's on the same images.

    Attributes:
        difference: on the images as they are.
        low: lower end of its interval.
        high: upper end.
        p_value: two-sided: how often resamples contradict the sign, (k + 1) / (R + 1), doubled.
    """

    difference: float
    low: float
    high: float
    p_value: float


def resample_sums(values: Floats, num_resamples: int, seed: int) -> Floats:
    """(R, M) sums over resampled images of (N, M) values; every column sees the same resamples.

    A corpus score that is a function of sums (BLEU, METEOR, any mean) is that function of each row.
    CIDEr is a mean: its document frequencies are part of the metric's definition and stay those of
    the whole split, for an image drawn twice would make its own n-grams look common.
    """
    rng = np.random.default_rng(seed)
    num_images = len(values)
    rows = max(1, _BLOCK_CELLS // num_images)
    sums = np.empty((num_resamples, values.shape[1]))
    for start in range(0, num_resamples, rows):
        block = min(rows, num_resamples - start)
        sums[start : start + block] = _draw(rng, block, num_images) @ values
    return sums


def _draw(rng: np.random.Generator, num_resamples: int, num_images: int) -> Floats:
    """(R, N) how often each resample draws each image; each row adds up to N."""
    drawn = rng.integers(num_images, size=(num_resamples, num_images))
    drawn += np.arange(num_resamples)[:, None] * num_images
    counts = np.bincount(drawn.ravel(), minlength=num_resamples * num_images)
    return counts.reshape(num_resamples, num_images).astype(np.float64)


def interval(resampled: Floats, confidence: float = 0.95) -> Interval:
    """The percentile interval of a resampled score."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(float(low), float(high))


def paired_difference(
    ours: float,
    theirs: float,
    our_resamples: Floats,
    their_resamples: Floats,
    confidence: float = 0.95,
) -> Difference:
    """Compares two systems by resamples of the same images.

    Args:
        ours: our score on all images.
        theirs: the other system's.
        our_resamples: (R,) our scores on the resamples.
        their_resamples: (R,) theirs on the same resamples.
        confidence: of the interval.
    """
    resampled = our_resamples - their_resamples
    low, high = interval(resampled, confidence)
    against = min((resampled <= 0).sum(), (resampled >= 0).sum())
    p_value = min(1.0, 2 * (float(against) + 1) / (len(resampled) + 1))
    return Difference(ours - theirs, low, high, p_value)
