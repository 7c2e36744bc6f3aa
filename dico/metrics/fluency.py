"""Form of captions: repetition, bad endings, length, variety of words.

These need no references. They take tokenised captions (words separated by white space).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dico.metrics.scores import Score


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DETERMINERS = _words(
    "a an the this that these those his her its their my your our whose some any each every either "
    "neither another no"
)
PREPOSITIONS = _words(
    "about across against along alongside amid among amongst as at atop before beneath beside "
    "besides between beyond by despite during except for from in including into like near of on "
    "onto per than through throughout to toward towards under underneath until unto upon via while "
    "with within without"
)
CONJUNCTIONS = _words("and or but nor because so if although though whereas since unless")
BAD_ENDINGS = DETERMINERS | PREPOSITIONS | CONJUNCTIONS
"""Words no caption should end on. Those that are adverbs as often (up, around, outside) are not in
it, so a few human captions ("a man with his hat on") do count."""


def rep_n(captions: Sequence[str], n: int) -> Score:
    """Rep-n: n-grams that repeat an earlier one of their caption, sum of (count - 1).

    0 or more, lower is better; the total is the mean.
    """
    return _mean([len(grams) - len(set(grams)) for grams in _ngrams(captions, n)])


def rep_n_share(captions: Sequence[str], n: int) -> Score:
    """Rep-n as a share: 1 - distinct n-grams / n-grams, in [0, 1), lower is better.

    0 for captions shorter than n; the total is the mean.
    """
    return _mean([1 - len(set(g)) / len(g) if g else 0.0 for g in _ngrams(captions, n)])


def bad_endings(captions: Sequence[str]) -> Score:
    """1 for a caption that ends on a determiner, preposition or conjunction, else 0.

    The total is the bad-ending rate, in [0, 1], lower is better.
    """
    return _mean(
        [float(bool(w) and w[-1].lower() in BAD_ENDINGS) for w in map(str.split, captions)]
    )


def num_words(captions: Sequence[str]) -> Score:
    """Words in each caption; the total is the mean."""
    return _mean([len(caption.split()) for caption in captions])


def distinct_n(captions: Sequence[str], n: int) -> float:
    """Distinct-n: distinct n-grams of all captions over n-grams, in [0, 1], higher is more varied.

    Li et al., NAACL 2016. Falls as captions are added: compare sets of equal size.
    """
    grams = [gram for own in _ngrams(captions, n) for gram in own]
    return len(set(grams)) / len(grams) if grams else 0.0


def vocabulary_size(captions: Sequence[str]) -> int:
    """Different words in all captions, higher is more varied."""
    return len({word for caption in captions for word in caption.split()})


def novelty(captions: Sequence[str], training_captions: Iterable[str]) -> Score:
    """1 for a caption that is not among the training captions word for word, else 0.

    Both tokenised alike. The total is the share, in [0, 1], higher is more inventive.
    """
    known = {" ".join(caption.split()) for caption in training_captions}
    return _mean([float(" ".join(caption.split()) not in known) for caption in captions])


def known_bigrams(captions: Iterable[str]) -> set[tuple[str, str]]:
    """Pairs of neighbours in captions, their ends as empty words: for `unseen_bigrams`."""
    return {pair for caption in captions for pair in pairs_of(caption)}


def unseen_bigrams(captions: Sequence[str], known: Collection[tuple[str, str]]) -> Score:
    """Share of a caption's bigrams, its ends included, that no training caption has.

    In [0, 1], lower is more like people's sentences: lists of keywords, words out of order, appended
    phrases and ends in the middle are made of them. The total is the mean.
    """
    shares = [[pair not in known for pair in pairs_of(caption)] for caption in captions]
    return _mean([sum(own) / len(own) for own in shares])


def pairs_of(caption: str) -> list[tuple[str, str]]:
    """Neighbours in a caption, its ends as empty words."""
    words = caption.split()
    return list(zip(["", *words], [*words, ""], strict=True))


def commonest(captions: Sequence[str]) -> tuple[str, float]:
    """The caption given most often and its share of all."""
    caption, count = Counter(captions).most_common(1)[0]
    return caption, count / len(captions)


def _ngrams(captions: Sequence[str], n: int) -> list[list[tuple[str, ...]]]:
    split = [caption.split() for caption in captions]
    return [list(zip(*(words[k:] for k in range(n)), strict=False)) for words in split]


def _mean(values: Sequence[float]) -> Score:
    per_image: NDArray[np.float64] = np.array(values, np.float64)
    return Score(float(per_image.mean()) if len(per_image) else 0.0, per_image)
