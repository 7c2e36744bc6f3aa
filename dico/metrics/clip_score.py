"""Caption scores by image and text embeddings: CLIP-S, PAC-S and their forms with references.

CLIPScore: Hessel et al., EMNLP 2021. PAC-S: Sarto et al., CVPR 2023; PAC-S++ tunes the same score's
weights by LoRA. These functions see L2-normalised embeddings only; the prompt ("A photo depicts ")
belongs to whoever made the text embeddings. B images, S references, E embedding width.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dico.errors import DataError
from dico.metrics.scores import Score

Array = NDArray[np.floating]
CLIP_W = 2.5
PAC_W = 2.0
_NORM_TOLERANCE = 1e-2


def clip_score(image_embeddings: Array, text_embeddings: Array, *, w: float = CLIP_W) -> Score:
    """CLIP-S = w * max(cos(image, text), 0), in [0, w], higher is better; the total is the mean.

    Args:
        image_embeddings: (B, E) L2-normalised.
        text_embeddings: (B, E) L2-normalised, with the prompt.
        w: 2.5 for CLIP-S; PAC-S++ is published with 2.0 and with 2.5: report it.

    Raises:
        DataError: shapes differ, or embeddings are not normalised or not finite.
    """
    images, texts = _checked(image_embeddings, "image"), _checked(text_embeddings, "text")
    if images.shape != texts.shape:
        raise DataError(f"image embeddings {images.shape} and text embeddings {texts.shape} differ")
    return _score(w * np.maximum(np.einsum("be,be->b", images, texts), 0.0))


def ref_clip_score(
    image_embeddings: Array,
    text_embeddings: Array,
    reference_embeddings: Array,
    num_references: Sequence[int] | NDArray[np.int64],
    *,
    w: float = CLIP_W,
) -> Score:
    """RefCLIP-S: the harmonic mean of CLIP-S and the highest cosine with a reference, at least 0.

    Args:
        image_embeddings: (B, E) L2-normalised.
        text_embeddings: (B, E) L2-normalised, with the prompt.
        reference_embeddings: (S, E) of all references, image after image, with the prompt.
        num_references: (B,) how many belong to each image, at least 1.
        w: as in `clip_score`.
    """
    with_image = clip_score(image_embeddings, text_embeddings, w=w).per_image
    texts, references = (
        _checked(text_embeddings, "text"),
        _checked(reference_embeddings, "reference"),
    )
    sizes = np.asarray(num_references, np.int64)
    if sizes.sum() != len(references) or (sizes < 1).any() or len(sizes) != len(texts):
        raise DataError(f"{len(references)} reference embeddings for {sizes.sum()} references")
    cosine = np.einsum("se,se->s", np.repeat(texts, sizes, axis=0), references)
    closest = np.maximum(np.maximum.reduceat(cosine, np.cumsum(sizes) - sizes), 0.0)
    both = with_image + closest
    return _score(2 * with_image * closest / np.where(both == 0, 1.0, both))


def pac_score(image_embeddings: Array, text_embeddings: Array, *, w: float = PAC_W) -> Score:
    """PAC-S = w * max(cos(image, text), 0) by CLIP with PAC weights, in [0, w], higher is better."""
    return clip_score(image_embeddings, text_embeddings, w=w)


def ref_pac_score(
    image_embeddings: Array,
    text_embeddings: Array,
    reference_embeddings: Array,
    num_references: Sequence[int] | NDArray[np.int64],
    *,
    w: float = PAC_W,
) -> Score:
    """RefPAC-S: `ref_clip_score` by CLIP with PAC weights and w = 2."""
    return ref_clip_score(
        image_embeddings, text_embeddings, reference_embeddings, num_references, w=w
    )


def _checked(embeddings: Array, what: str) -> NDArray[np.float64]:
    array = np.asarray(embeddings, np.float64)
    if array.ndim != 2 or not len(array):
        raise DataError(f"{what} embeddings: expected (B, E), got {array.shape}")
    norms = np.linalg.norm(array, axis=1)
    wrong = np.flatnonzero(~(np.abs(norms - 1) < _NORM_TOLERANCE))
    if len(wrong):
        raise DataError(
            f"{what} embeddings: row {wrong[0]} has length {norms[wrong[0]]:.4g}, expected 1: "
            "divide by the L2 norm first"
        )
    return array


def _score(per_image: NDArray[np.float64]) -> Score:
    return Score(float(per_image.mean()), per_image)
