"""References prepared once, so that many sets of captions can be scored against them.

Holds what BLEU, ROUGE-L and CIDEr need: n-gram counts, lengths, document frequencies. A text is
split where pycocoevalcap splits it: for ROUGE-L at single spaces, else at any white space.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dico.errors import DataError
from dico.metrics.ngrams import (
    EOS_WORD,
    MAX_ORDER,
    Floats,
    Ints,
    NgramCounts,
    NgramIndex,
    Sentences,
    find,
    intern_words,
    pack,
    run_starts,
)
from dico.metrics.scores import Captions, References, line_up
from dico.metrics.tokenizer import TokenizerName, tokenize


@dataclass(frozen=True, slots=True)
class PreparedCaptions:
    """Captions counted in the ids of some `PreparedReferences`.

    Attributes:
        texts: tokenised captions.
        image: (B,) the image, as a position in the references, that each caption describes.
        sentences: their words.
        counts: their n-grams; ids of ``len(references.idf)`` and above are in no reference.
    """

    texts: list[str]
    image: Ints
    sentences: Sentences
    counts: NgramCounts


@dataclass(frozen=True, slots=True)
class ImageNgrams:
    """The n-grams of an image's references together, ordered by image, then n-gram.

    Attributes:
        key: (image, n-gram) packed.
        start: where its rows begin in ``by_image``, with one more at the end.
        by_image: rows of the references' counts, in the order of ``key``.
        largest: the highest count in one reference.
    """

    key: Ints
    start: Ints
    by_image: Ints
    largest: Ints


class PreparedReferences:
    """The references of N images, ready to score captions against.

    Attributes:
        image_ids: the keys of the mapping given, or 0 .. N - 1.
        num_references: (N,) how many each image has.
        image_of_sentence: (S,) which image a reference belongs to, ascending.
        texts: tokenised references, (S,).
        sentences: their words.
        counts: their n-grams.
    """

    def __init__(
        self,
        references: References,
        *,
        tokenizer: TokenizerName = "python",
        document_frequencies: "PreparedReferences | None" = None,
        with_eos: bool = False,
    ) -> None:
        """Tokenises and counts.

        Args:
            references: for each image a list of captions; their numbers may differ.
            tokenizer: applied to these references and to the captions scored against them.
            document_frequencies: where CIDEr takes its n-gram weights from, such as the prepared
                references of the training split; None means from these references.
            with_eos: whether the end of a sentence counts as one more word.

        Raises:
            DataError: no image, an image without references, a reference that is not text.
        """
        self.tokenizer: TokenizerName = tokenizer
        self.with_eos = with_eos
        self.image_ids: Sequence[object] = (
            list(references) if isinstance(references, Mapping) else range(len(references))
        )
        _, grouped = line_up([""] * len(references), _values(references))
        if not grouped:
            raise DataError("references: expected at least one image")
        self.num_references = np.fromiter(map(len, grouped), np.int64, len(grouped))
        self.image_of_sentence = np.repeat(np.arange(len(grouped)), self.num_references)
        self.texts = tokenize([text for group in grouped for text in group], tokenizer)
        self._frequencies = document_frequencies
        self.index: NgramIndex = (
            document_frequencies.index.copy() if document_frequencies else NgramIndex()
        )
        self.sentences = intern_words(self._split(self.texts), self.index.vocabulary)
        self.counts = self.index.count(self.sentences, grow=True)

    def prepare(
        self, captions: Sequence[str], image: Sequence[int] | Ints | None = None
    ) -> PreparedCaptions:
        """Tokenises and counts captions in the ids of these references.

        Args:
            captions: raw text.
            image: which image each describes, as a position; None means one caption an image.
        """
        texts = tokenize(captions, self.tokenizer)
        sentences = intern_words(self._split(texts), self.index.vocabulary)
        images = np.arange(len(texts)) if image is None else np.asarray(image, np.int64)
        if len(images) != len(texts) or (image is None and len(texts) != len(self.num_references)):
            raise DataError(
                f"{len(texts)} captions for {len(self.num_references)} images: "
                "say which image each describes"
            )
        return PreparedCaptions(texts, images, sentences, self.index.count(sentences, grow=False))

    @cached_property
    def by_image(self) -> ImageNgrams:
        """The n-grams of each image's references together."""
        key = pack(self.image_of_sentence[self.counts.sentence], self.counts.ngram)
        rows = np.argsort(key, kind="stable")
        key = key[rows]
        start = run_starts(key)
        largest = np.maximum.reduceat(self.counts.count[rows], start) if len(start) else start
        return ImageNgrams(key[start], np.append(start, len(key)), rows, largest)

    @cached_property
    def document_frequency(self) -> Ints:
        """In the references of how many images each n-gram is."""
        ngrams = self.by_image.key & 0xFFFFFFFF
        return np.bincount(ngrams, minlength=self.index.size)

    @cached_property
    def log_num_images(self) -> float:
        """The weight of an n-gram that no reference has."""
        source = self._frequencies or self
        return float(np.log(float(len(source.num_references))))

    @cached_property
    def idf(self) -> Floats:
        """log(number of images) - log(document frequency) of each n-gram."""
        frequency = (self._frequencies or self).document_frequency
        padded = np.zeros(self.index.size, np.int64)
        padded[: len(frequency)] = frequency
        idf: Floats = self.log_num_images - np.log(np.maximum(1.0, padded))
        return idf

    @cached_property
    def weights(self) -> Floats:
        """Count times idf of each row of `counts`."""
        return self.counts.count * self.idf[self.counts.ngram]

    @cached_property
    def norms(self) -> Floats:
        """(S, 4) length of each reference's vector of weights, for each order."""
        return norms_of(self.counts, self.weights, len(self.sentences.lengths))

    @cached_property
    def space_split(self) -> Sentences:
        """The references split at single spaces, as ROUGE-L has it."""
        return self.split_at_spaces(self.texts, self.sentences)

    def split_at_spaces(self, texts: Sequence[str], sentences: Sentences) -> Sentences:
        """Words between single spaces: an empty text is one empty word."""
        joined = " ".join(texts)
        plain = not any(c.isspace() and c != " " for c in set(joined))
        if plain and not self.with_eos and len(sentences.words) == joined.count(" ") + 1:
            return sentences
        return intern_words([text.split(" ") for text in texts], self.index.vocabulary)

    def _split(self, texts: Sequence[str]) -> list[list[str]]:
        if self.with_eos:
            return [[*text.split(), EOS_WORD] for text in texts]
        return [text.split() for text in texts]


def norms_of(counts: NgramCounts, weights: Floats, num_sentences: int) -> Floats:
    """(num_sentences, 4) square root of the sum of squared weights, for each order."""
    cell = counts.sentence * MAX_ORDER + counts.order
    squares = np.bincount(cell, weights * weights, num_sentences * MAX_ORDER)
    root: Floats = np.sqrt(squares).reshape(num_sentences, MAX_ORDER)
    return root


def prepare_both(
    captions: Captions | PreparedCaptions,
    references: References | PreparedReferences,
    tokenizer: TokenizerName,
) -> tuple[PreparedCaptions, PreparedReferences]:
    """Captions and references ready to be compared; what is prepared already is kept."""
    if isinstance(references, PreparedReferences):
        if isinstance(captions, PreparedCaptions):
            return captions, references
        return references.prepare(_in_order(captions, references)), references
    if isinstance(captions, PreparedCaptions):
        raise DataError("prepared captions need the prepared references that they belong to")
    texts, grouped = line_up(captions, references)
    prepared = PreparedReferences(grouped, tokenizer=tokenizer)
    return prepared.prepare(texts), prepared


def rows_in_references(
    captions: PreparedCaptions, references: PreparedReferences
) -> tuple[Ints, Ints]:
    """Rows of the captions' counts whose n-gram the image's references have, and where.

    Returns:
        Rows of ``captions.counts``, and for each its position in ``references.by_image.key``.
    """
    counts = captions.counts
    place, known = find(
        references.by_image.key, pack(captions.image[counts.sentence], counts.ngram)
    )
    return np.flatnonzero(known), place[known]


def _in_order(captions: Captions, references: PreparedReferences) -> list[str]:
    if not isinstance(captions, Mapping):
        return list(captions)
    texts, _ = line_up(captions, dict.fromkeys(references.image_ids, ("",)))  # type: ignore[arg-type]
    by_id = dict(zip(captions, texts, strict=True))
    return [by_id[i] for i in references.image_ids]  # type: ignore[index]


def _values(references: References) -> list[Sequence[str]]:
    return list(references.values() if isinstance(references, Mapping) else references)
