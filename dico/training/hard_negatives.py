"""False captions made of true ones, mined from the training captions alone.

Contrastive training teaches a bag of words: within a batch the words alone tell captions apart.
NegCLIP (Yuksekgonul et al. 2023, arXiv 2210.01936) adds captions with words exchanged, FOIL (Shekhar
et al. 2017, arXiv 1705.01359) puts a false word for a true one. Here no list is made by hand, so any
domain and language with spaces will do. Three edits:

- another word: a word gives way to one of its class that no caption of the image has,
- exchange: two different words of one class change places,
- splice: the caption goes on, after a word that they share, as one of another image does, with a
  word that no caption of this image has: an object added, or another relation.

Words are of one class where their neighbours are alike (cosine of positive pointwise mutual
information, Bullinaria and Levy 2007) and images that are given the one are given the other no more
often than any image; synonyms are given together, so they stay out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MIN_COUNT = 20
"""Rarer words have too few neighbours to tell their class."""
MIN_SIMILARITY = 0.8
"""Least cosine of the neighbours of two words of a class."""
MAX_LIFT = 1.0
"""P(other word given word) / P(other word), over images: at most this, or they may be synonyms."""
MAX_SHARE = 0.95
"""Words that more of the images are given are the frame of sentences."""
MAX_CLASS = 8
"""Words of a class, the most alike."""
_TRIES = 4


class HardNegatives:
    """Edits captions so that they become false."""

    def __init__(self, captions: Sequence[Sequence[str]]) -> None:
        """Mines the classes of words.

        Args:
            captions: all captions of each training image.
        """
        self._words = [[text.lower().split() for text in group] for group in captions]
        self._given = [{word for text in group for word in text} for group in self._words]
        self.classes = _classes(self._words, self._given)
        """The words that may stand for a word, the most alike first."""

    def edit(self, image: int, caption: str, rng: np.random.Generator) -> str:
        """``caption`` of ``image`` made false; as it is where no edit is known."""
        words = caption.lower().split()
        edits = [self._exchange, self._another_word, self._splice]
        for _ in range(_TRIES):
            edited = edits[rng.integers(len(edits))](words, image, rng)
            if edited is not None and edited != words:
                return " ".join(edited)
        return caption

    def _another_word(
        self, words: list[str], image: int, rng: np.random.Generator
    ) -> list[str] | None:
        places = [i for i, word in enumerate(words) if word in self.classes]
        if not places:
            return None
        place = places[rng.integers(len(places))]
        # What a person said of this image may be true of it.
        free = [w for w in self.classes[words[place]] if w not in self._given[image]]
        if not free:
            return None
        return [*words[:place], free[rng.integers(len(free))], *words[place + 1 :]]

    def _exchange(
        self,
        words: list[str],
        image: int,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> list[str] | None:
        pairs = [
            (i, j)
            for j, other in enumerate(words)
            for i, word in enumerate(words[:j])
            if other in self.classes.get(word, ())
        ]
        if not pairs:
            return None
        i, j = pairs[rng.integers(len(pairs))]
        edited = list(words)
        edited[i], edited[j] = words[j], words[i]
        return edited

    def _splice(self, words: list[str], image: int, rng: np.random.Generator) -> list[str] | None:
        group = self._words[rng.integers(len(self._words))]
        other = group[rng.integers(len(group))]
        joints = [
            (i, j)
            for i, word in enumerate(words[1:], start=1)
            for j, same in enumerate(other[:-1])
            if word == same
            and word not in self.classes
            and any(w in self.classes and w not in self._given[image] for w in other[j + 1 :])
        ]
        if not joints:
            return None
        i, j = joints[rng.integers(len(joints))]
        return [*words[: i + 1], *other[j + 1 :]]


def _classes(words: list[list[list[str]]], given: list[set[str]]) -> dict[str, list[str]]:
    counts = Counter(word for group in words for text in group for word in text)
    known = sorted(word for word, count in counts.items() if count >= MIN_COUNT)
    if not known:
        return {}
    alike = _likeness(words, known)
    # (N, W): which words are said of which image; then how often each, and each pair, is said.
    seen = np.array([[word in group for word in known] for group in given], np.float64)
    share = seen.mean(axis=0)
    together = seen.T @ seen / len(seen)
    # 1 where two words are independent; synonyms and a thing's own attributes are far above.
    lift = together / np.maximum(share[:, None] * share[None, :], 1e-12)
    fit = (alike > MIN_SIMILARITY) & (lift < MAX_LIFT)
    # A word of nearly all images ("a") cannot make a caption false.
    fit &= np.maximum(share[:, None], share[None, :]) < MAX_SHARE
    np.fill_diagonal(fit, val=False)
    return {
        word: [known[j] for j in sorted(np.flatnonzero(fit[i]), key=lambda j: -alike[i, j])][
            :MAX_CLASS
        ]
        for i, word in enumerate(known)
        if fit[i].any()
    }


def _likeness(words: list[list[list[str]]], known: list[str]) -> Floats:
    """Cosines of the words' neighbours, as positive pointwise mutual information."""
    near: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for word, neighbour in _neighbours(words):
        near[word][neighbour] += 1
    places = {name: i for i, name in enumerate(sorted({n for w in known for n in near[w]}))}
    counts = np.zeros((len(known), len(places)))
    for i, word in enumerate(known):
        for neighbour, count in near[word].items():
            counts[i, places[neighbour]] = count
    # (W, N) counts against those of chance; only more than chance says something.
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    information = np.log(np.maximum(counts, 1e-9) / np.maximum(expected, 1e-12)).clip(min=0)
    information /= np.maximum(np.linalg.norm(information, axis=1, keepdims=True), 1e-12)
    likeness: Floats = information @ information.T
    return likeness


def _neighbours(words: list[list[list[str]]]) -> Iterator[tuple[str, str]]:
    """Each word with the one before it and the one after it, the caption's ends included."""
    for group in words:
        for text in group:
            for before, word, after in zip(["", *text[:-1]], text, [*text[1:], ""], strict=True):
                yield word, f"< {before}"
                yield word, f"> {after}"
