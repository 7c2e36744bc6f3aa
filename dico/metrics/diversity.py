"""Diversity of the K captions of one image.

Shetty et al., ICCV 2017 (Div-n); Zhu et al., SIGIR 2018 (Self-BLEU). Tokenised captions.
"""

from collections.abc import Sequence

import numpy as np

from dico.errors import DataError
from dico.metrics.bleu import bleu
from dico.metrics.scores import Score


def self_bleu(candidates: Sequence[Sequence[str]], n: int = 4) -> Score:
    """Self-BLEU-n: mean BLEU-n of each candidate against the image's others, in [0, 1].

    Lower is more diverse; 1 where all are equal. The total is the mean over images.

    Args:
        candidates: for each image its captions, at least two; their numbers may differ.
        n: highest order of n-grams, 1 to 4.

    Raises:
        DataError: an image with fewer than two candidates.
    """
    few = [number for number, group in enumerate(candidates) if len(group) < 2]
    if few:
        raise DataError(f"self_bleu: image {few[0]} has fewer than two candidates")
    captions = [caption for group in candidates for caption in group]
    others = [[*group[:k], *group[k + 1 :]] for group in candidates for k in range(len(group))]
    scores = bleu(captions, others, "none").per_image[n - 1]
    sizes = np.array([len(group) for group in candidates])
    per_image = np.add.reduceat(scores, np.cumsum(sizes) - sizes) / sizes
    return Score(float(per_image.mean()), per_image)


def div_n(candidates: Sequence[Sequence[str]], n: int) -> Score:
    """Div-n: distinct n-grams of an image's candidates over their words, in [0, 1].

    Higher is more diverse. The total is the mean over images.
    """
    shares = []
    for group in candidates:
        split = [caption.split() for caption in group]
        grams = {tuple(w[i : i + n]) for w in split for i in range(len(w) - n + 1)}
        shares.append(len(grams) / max(1, sum(map(len, split))))
    per_image = np.array(shares, np.float64)
    return Score(float(per_image.mean()), per_image)
