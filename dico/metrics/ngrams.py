"""Interned n-grams: words and n-grams as integers, so that counting is sorting.

Every n-gram is interned from its prefix: the key of an n-gram is (id of its first n - 1 words,
last word), packed in 64 bits. An index gives equal n-grams equal ids and never compares text twice.
B images or captions, S sentences, M distinct n-grams of a sentence, added over the sentences.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MAX_ORDER = 4
EOS_WORD = "<eos>"
_SHIFT = 32


class Vocabulary(dict[str, int]):
    """Word to id; a word met for the first time takes the next id."""

    def __missing__(self, word: str) -> int:
        self[word] = new = len(self)
        return new


@dataclass(frozen=True, slots=True)
class Sentences:
    """Sentences as word ids.

    Attributes:
        words: ids of all words, sentence after sentence.
        lengths: number of words of each sentence, (S,).
    """

    words: Ints
    lengths: Ints

    def sentence_of_word(self) -> Ints:
        """The sentence of each word."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)


@dataclass(frozen=True, slots=True)
class NgramCounts:
    """How often each n-gram is in each sentence, ordered by sentence, then by n-gram.

    Attributes:
        sentence: (M,) sentence numbers.
        ngram: (M,) n-gram ids; n-grams of different orders have different ids.
        count: (M,) occurrences, at least 1.
        order: (M,) n - 1 of each n-gram, 0 to 3.
    """

    sentence: Ints
    ngram: Ints
    count: Ints
    order: Ints


def intern_words(split: Iterable[Sequence[str]], vocabulary: Vocabulary) -> Sentences:
    """Sentences (lists of words) as ids; new words are added to ``vocabulary``."""
    split = list(split)
    lengths = np.fromiter(map(len, split), np.int64, len(split))
    words = np.fromiter(
        map(vocabulary.__getitem__, chain.from_iterable(split)), np.int64, int(lengths.sum())
    )
    return Sentences(words, lengths)


def pack(high: Ints, low: Ints) -> Ints:
    """Two numbers below 2^31 in one, ordered by ``high`` first."""
    return (high << _SHIFT) | low


def run_starts(ordered: Ints) -> Ints:
    """Where each run of equal values begins."""
    if not len(ordered):
        return np.zeros(0, np.int64)
    return np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))


def find(table: Ints, keys: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Positions of ``keys`` in the sorted ``table``, and whether they are there."""
    if not len(table):
        return np.zeros(len(keys), np.int64), np.zeros(len(keys), np.bool_)
    place = np.searchsorted(table, keys)
    np.minimum(place, len(table) - 1, out=place)
    return place, table[place] == keys


class NgramIndex:
    """Ids of the n-grams (n = 1 to 4) met so far; `size` of them.

    A table for each order: sorted keys (id of the prefix, last word) and their ids.
    """

    def __init__(self) -> None:
        self.vocabulary = Vocabulary()
        self.size = 0
        self._keys = [np.zeros(0, np.int64) for _ in range(MAX_ORDER)]
        self._ids = [np.zeros(0, np.int64) for _ in range(MAX_ORDER)]

    def copy(self) -> "NgramIndex":
        """An index that can grow without changing this one; ids stay the same."""
        new = NgramIndex()
        new.vocabulary = Vocabulary(self.vocabulary)
        new.size, new._keys, new._ids = self.size, list(self._keys), list(self._ids)
        return new

    def count(self, sentences: Sentences, *, grow: bool) -> NgramCounts:
        """Counts the n-grams of each sentence.

        Args:
            sentences: of words interned in this index's vocabulary.
            grow: whether new n-grams are kept; else their ids, `size` and above, mean something
                within this one result only.
        """
        words, sentence = sentences.words, sentences.sentence_of_word()
        words_left = np.cumsum(sentences.lengths)[sentence] - np.arange(len(words))
        prefix, start = np.zeros(len(words), np.int64), np.arange(len(words))
        size, packed = self.size, []
        for n in range(MAX_ORDER):
            start = start[words_left[start] > n]
            keys = pack(prefix[start], words[start + n])
            prefix[start], size = self._intern(n, keys, size, grow)
            packed.append(pack(sentence[start], prefix[start]))
        return self._counts(packed)

    def _intern(self, n: int, keys: Ints, size: int, grow: bool) -> tuple[Ints, int]:
        place, known = find(self._keys[n], keys)
        ids = np.empty(len(keys), np.int64)
        if len(self._ids[n]):
            ids[known] = self._ids[n][place[known]]
        fresh, inverse = np.unique(keys[~known], return_inverse=True)
        ids[~known] = inverse + size
        if grow and len(fresh):
            merged = np.concatenate((self._keys[n], fresh))
            order = np.argsort(merged, kind="stable")
            self._keys[n] = merged[order]
            new_ids = np.arange(size, size + len(fresh))
            self._ids[n] = np.concatenate((self._ids[n], new_ids))[order]
            self.size = size + len(fresh)
        return ids, size + len(fresh)

    @staticmethod
    def _counts(packed: list[Ints]) -> NgramCounts:
        order = np.repeat(np.arange(len(packed)), [len(keys) for keys in packed])
        keys = np.concatenate(packed)
        by_key = np.argsort(keys, kind="stable")
        keys = keys[by_key]
        starts = run_starts(keys)
        count = np.diff(np.append(starts, len(keys)))
        keys = keys[starts]
        return NgramCounts(keys >> _SHIFT, keys & ((1 << _SHIFT) - 1), count, order[by_key[starts]])
