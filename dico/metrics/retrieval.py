"""Self-retrieval: does a caption find its own image among all images of the split?"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dico.errors import DataError

CUTOFFS = (1, 5, 10)
_BLOCK = 1024


class Retrieval(NamedTuple):
    """Ranks of the right images, 1 the best.

    Attributes:
        rank: (B,) int64; images as similar as the right one count as ranked before it.
        recall: share of captions whose image is among the first 1, 5, 10: {1: .., 5: .., 10: ..}.
        mrr: mean of 1 / rank, in (0, 1], higher is better.
    """

    rank: NDArray[np.int64]
    recall: dict[int, float]
    mrr: float


def retrieval(
    text_embeddings: NDArray[np.floating],
    image_embeddings: NDArray[np.floating],
    image: NDArray[np.int64] | None = None,
) -> Retrieval:
    """Ranks all images by cosine with each caption.

    Args:
        text_embeddings: (B, E) L2-normalised.
        image_embeddings: (N, E) L2-normalised.
        image: (B,) the right image of each caption; None where caption i describes image i.
    """
    texts, images = np.asarray(text_embeddings), np.asarray(image_embeddings)
    right = np.arange(len(texts)) if image is None else np.asarray(image, np.int64)
    if texts.ndim != 2 or texts.shape[1:] != images.shape[1:] or len(right) != len(texts):
        raise DataError(f"retrieval: texts {texts.shape}, images {images.shape} do not match")
    rank = np.empty(len(texts), np.int64)
    for start in range(0, len(texts), _BLOCK):
        rows = slice(start, start + _BLOCK)
        similarity = texts[rows] @ images.T
        own = similarity[np.arange(len(similarity)), right[rows]]
        rank[rows] = (similarity >= own[:, None]).sum(axis=1)
    recall = {k: float((rank <= k).mean()) for k in CUTOFFS}
    return Retrieval(rank, recall, float((1 / rank).mean()))
