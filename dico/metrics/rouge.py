"""ROUGE-L of captions: Lin, 2004, as the COCO caption evaluation computes it.

The longest common subsequence is found for all pairs at once, 64 caption words to a machine word:
Hyyro, "Bit-parallel LCS-length computation revisited", 2004.
"""

import numpy as np

from dico.metrics.ngrams import Ints, Sentences
from dico.metrics.prepared import PreparedCaptions, PreparedReferences, prepare_both
from dico.metrics.scores import Captions, References, Score
from dico.metrics.tokenizer import TokenizerName

BETA = 1.2
_WORD_BITS = 64


def rouge_l(
    captions: Captions | PreparedCaptions,
    references: References | PreparedReferences,
    tokenizer: TokenizerName = "python",
) -> Score:
    """ROUGE-L, in [0, 1], higher is better.

    F = (1 + beta^2) P R / (R + beta^2 P), beta 1.2, P and R the highest shares of the caption's
    and of a reference's words in their longest common subsequence. The total is the mean. Equal to
    pycocoevalcap 1.2, for which an empty text is one (empty) word.
    """
    ours, theirs = prepare_both(captions, references, tokenizer)
    mine = theirs.split_at_spaces(ours.texts, ours.sentences)
    others = theirs.space_split
    sizes = theirs.num_references[ours.image]
    start = np.cumsum(sizes) - sizes
    caption = np.repeat(np.arange(len(sizes)), sizes)
    first = np.cumsum(theirs.num_references) - theirs.num_references
    sentence = first[ours.image][caption] + np.arange(len(caption)) - start[caption]
    common = lcs_lengths(mine, others, caption, sentence)
    precision = np.maximum.reduceat(common / mine.lengths[caption], start)
    recall = np.maximum.reduceat(common / others.lengths[sentence], start)
    below = recall + BETA**2 * precision
    per_image = (1 + BETA**2) * precision * recall / np.where(below == 0, 1.0, below)
    return Score(float(per_image.mean()), per_image)


def lcs_lengths(a: Sentences, b: Sentences, a_of_pair: Ints, b_of_pair: Ints) -> Ints:
    """Lengths of the longest common subsequences of sentences ``a[i]`` and ``b[j]``, pair by pair."""
    result = np.zeros(len(a_of_pair), np.int64)
    long = a.lengths[a_of_pair] > _WORD_BITS
    for pair in np.flatnonzero(long):
        result[pair] = _lcs_of_two(_words(a, a_of_pair[pair]), _words(b, b_of_pair[pair]))
    short = np.flatnonzero(~long)
    # long references first, so that the pairs still running are a prefix
    short = short[np.argsort(-b.lengths[b_of_pair[short]], kind="stable")]
    result[short] = _lcs_of_many(a, b, a_of_pair[short], b_of_pair[short])
    return result


def _lcs_of_many(a: Sentences, b: Sentences, i: Ints, j: Ints) -> Ints:
    """`lcs_lengths` of pairs ordered by falling length of ``b``, at most 64 words in ``a``."""
    a_start, b_start = np.cumsum(a.lengths) - a.lengths, np.cumsum(b.lengths) - b.lengths
    a_length, b_length = a.lengths[i], b.lengths[j]
    width = int(a_length.max(initial=0))
    padded = np.full((width, len(i)), -1, np.int64)
    for k in range(width):
        has = np.flatnonzero(a_length > k)
        padded[k, has] = a.words[a_start[i[has]] + k]
    rest = np.full(len(i), np.iinfo(np.uint64).max, np.uint64)
    for k in range(int(b_length.max(initial=0))):
        running = int(np.searchsorted(-b_length, -k, side="left"))
        word = b.words[b_start[j[:running]] + k]
        match = np.zeros(running, np.uint64)
        for bit in range(width):
            match |= (padded[bit, :running] == word).astype(np.uint64) << np.uint64(bit)
        row = rest[:running]
        hit = row & match
        rest[:running] = (row + hit) | (row - hit)
    return np.bitwise_count(~rest).astype(np.int64)


def _lcs_of_two(a: Ints, b: Ints) -> int:
    """The same recurrence on Python integers, for sentences of any length."""
    places: dict[int, int] = {}
    for position, word in enumerate(a.tolist()):
        places[word] = places.get(word, 0) | 1 << position
    mask = (1 << len(a)) - 1
    rest = mask
    for word in b.tolist():
        hit = rest & places.get(word, 0)
        rest = ((rest + hit) | (rest - hit)) & mask
    return len(a) - rest.bit_count()


def _words(sentences: Sentences, number: int) -> Ints:
    end = int(sentences.lengths[: number + 1].sum())
    return sentences.words[end - int(sentences.lengths[number]) : end]
