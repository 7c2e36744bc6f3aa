"""Whoever scores captions of images: evaluators, and the controls that fix the thresholds.

B images, K captions of each, E embedding.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dico.facts import Scene, Vocabulary, check_caption, read_caption

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
        ...


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


class BlindJudge:
    """A control: another judge that is shown one and the same image whatever it is asked about."""

    def __init__(self, judge: Judge, image: str) -> None:
        self.name, self._judge, self._image = f"{judge.name}, blind", judge, image

    def score(self, images: Sequence[str], captions: Sequence[Sequence[str]]) -> Floats:
        """See `Judge`."""
        return self._judge.score([self._image] * len(images), captions)


class FactsJudge:
    """A control that sees the facts: named facts minus false statements, of all facts."""

    def __init__(self, scenes: Mapping[str, Scene], vocabulary: Vocabulary) -> None:
        """Knows images by their scenes, {key: scene}."""
        self.name, self._scenes, self._vocabulary = "facts", scenes, vocabulary
        self._read = functools.cache(lambda text: read_caption(text, vocabulary))

    def score(self, images: Sequence[str], captions: Sequence[Sequence[str]]) -> Floats:
        """See `Judge`."""
        rows = [
            [self._of(key, text) for text in own] for key, own in zip(images, captions, strict=True)
        ]
        return np.array(rows, np.float64)

    def _of(self, key: str, caption: str) -> float:
        verdict = check_caption(self._read(caption), self._scenes[key], self._vocabulary)
        num_false = sum(not own.true for own in verdict.statements)
        return (verdict.num_named - num_false) / max(1, verdict.num_facts)
