"""BLEU of captions: Papineni et al., ACL 2002, as the COCO caption evaluation computes it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dico.metrics.ngrams import MAX_ORDER, Floats, Ints
from dico.metrics.prepared import (
    PreparedCaptions,
    PreparedReferences,
    prepare_both,
    rows_in_references,
)
from dico.metrics.scores import Captions, References
from dico.metrics.tokenizer import TokenizerName

_SMALL, _TINY = 1e-9, 1e-15


class BleuScore(NamedTuple):
    """BLEU-1 to BLEU-4.

    Attributes:
        total: (4,) corpus scores, from sums over the corpus, not means of ``per_image``.
        per_image: (4, B) the same of each caption alone.
    """

    total: Floats
    per_image: Floats


@dataclass(frozen=True, slots=True)
class BleuStatistics:
    """What BLEU adds up over a corpus.

    Attributes:
        correct: (B, 4) n-grams that are in a reference, clipped to the highest count in one.
        guessed: (B, 4) n-grams of the caption.
        num_words: (B,) words of the caption.
        reference_words: (B,) words of the reference closest in length; of two, the shorter.
    """

    correct: Ints
    guessed: Ints
    num_words: Ints
    reference_words: Ints

    def table(self) -> NDArray[np.float64]:
        """(B, 10) all of them side by side, to be summed over any set of images."""
        columns = (
            self.correct,
            self.guessed,
            self.num_words[:, None],
            self.reference_words[:, None],
        )
        return np.concatenate(columns, axis=1).astype(np.float64)


def bleu(
    captions: Captions | PreparedCaptions,
    references: References | PreparedReferences,
    tokenizer: TokenizerName = "python",
) -> BleuScore:
    """BLEU-1 to BLEU-4, in [0, 1], higher is better.

    BLEU-n = brevity penalty * (product of clipped precisions of 1- to n-grams)^(1/n), penalty
    exp(1 - r/c) where the captions (c words) are shorter than the closest references (r words).
    Equal to pycocoevalcap 1.2 (``closest``), its smoothing of 1e-15 / 1e-9 included.
    """
    ours, theirs = prepare_both(captions, references, tokenizer)
    table = bleu_statistics(ours, theirs).table()
    return BleuScore(bleu_from_sums(table.sum(axis=0)), bleu_from_sums(table).T)


def bleu_statistics(captions: PreparedCaptions, references: PreparedReferences) -> BleuStatistics:
    """The sums that BLEU is made of, for each caption."""
    num_captions, counts = len(captions.image), captions.counts
    row, place = rows_in_references(captions, references)
    clipped = np.minimum(counts.count[row], references.by_image.largest[place])
    cell = counts.sentence[row] * MAX_ORDER + counts.order[row]
    correct = np.bincount(cell, clipped, num_captions * MAX_ORDER).astype(np.int64)
    words = captions.sentences.lengths
    return BleuStatistics(
        correct.reshape(num_captions, MAX_ORDER),
        np.maximum(words[:, None] - np.arange(MAX_ORDER), 0),
        words,
        _closest_lengths(captions, references),
    )


def bleu_from_sums(sums: NDArray[np.float64]) -> Floats:
    """BLEU-1 to BLEU-4 (..., 4) from rows of `BleuStatistics.table`, (..., 10), or sums of them."""
    correct, guessed = sums[..., :MAX_ORDER], sums[..., MAX_ORDER : 2 * MAX_ORDER]
    product = np.cumprod((correct + _TINY) / (guessed + _SMALL), axis=-1)
    score: Floats = product ** (1 / np.arange(1, MAX_ORDER + 1))
    ratio = (sums[..., -2] + _TINY) / (sums[..., -1] + _SMALL)
    penalty = np.exp(np.minimum(1 - 1 / ratio, 0.0))
    return score * penalty[..., None]


def _closest_lengths(captions: PreparedCaptions, references: PreparedReferences) -> Ints:
    """Of each image's references the length closest to the caption's, the shorter one on ties."""
    sizes = references.num_references[captions.image]
    first = np.cumsum(references.num_references) - references.num_references
    caption = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(len(caption)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    length = references.sentences.lengths[first[captions.image][caption] + within]
    distance = np.abs(length - captions.sentences.lengths[caption])
    best = np.minimum.reduceat((distance << 32) | length, np.cumsum(sizes) - sizes)
    closest: Ints = best & 0xFFFFFFFF
    return closest
