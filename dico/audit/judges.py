"""Judges: whatever scores captions of images.

B images, K captions of each, E embedding.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Judge(Protocol):
    """Scores captions; higher means a better fit to the image. Every evaluator can be one."""

    name: str
    """What reports call it."""

    def score(self, images: Sequence[str], captions: Sequence[Sequence[str]]) -> Floats:
        """Scores (B, K).

        Args:
            images: keys of B images; one may come several times.
            captions: K captions for each.
        """


class CosineJudge:
    """A dual encoder: the cosine of an image's and a caption's embedding."""

    def __init__(
        self,
        name: str,
        images: Mapping[str, NDArray[np.floating]],
        embed: Callable[[list[str]], Any],
        batch_size: int = 512,
    ) -> None:
        """Knows images by their embeddings.

        Args:
            name: what reports call it.
            images: {key: (E,) embedding of length 1}.
            embed: (N, E) embeddings of length 1 of N captions, `Evaluator.embed_texts`.
            batch_size: captions embedded at once.
        """
        self.name, self._images, self._embed, self._batch = name, images, embed, batch_size
        self._texts: dict[str, Floats] = {}

    def score(self, images: Sequence[str], captions: Sequence[Sequence[str]]) -> Floats:
        """See `Judge`; a caption is embedded once."""
        new = [text for own in captions for text in own if text not in self._texts]
        new = list(dict.fromkeys(new))
        for start in range(0, len(new), self._batch):
            texts = new[start : start + self._batch]
            rows = self._embed(texts)
            rows = np.asarray(rows.cpu() if hasattr(rows, "cpu") else rows, np.float64)
            self._texts.update(zip(texts, rows, strict=True))
        told: Floats = np.array([[self._texts[text] for text in own] for own in captions])
        shown: Floats = np.array([self._images[key] for key in images], np.float64)  # (B, E)
        scores: Floats = np.einsum("bke,be->bk", told, shown)  # told is (B, K, E)
        return scores
