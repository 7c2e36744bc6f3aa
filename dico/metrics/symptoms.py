"""Symptoms of a hacked reward: what the audit's probes do to captions, looked for in captions.

Each is 1 for a caption that shows it and 0 for one that does not; hardly any caption by a person does,
however long or rich, so that more of them mean more hacking. A broken ending is the sixth
(`dico.metrics.fluency.bad_endings`).
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from dico.metrics.fluency import BAD_ENDINGS, known_bigrams, pairs_of
from dico.metrics.scores import Score

T = TypeVar("T")
SYMPTOMS = ("said_again", "no_sentence", "appended", "common_caption", "too_long")
NUM_TAILS = 20
_TAIL_WORDS = 3
_RUN_WORDS = 5
_LIST_WORDS = 4
_TOO_LONG = 2
_STOCK_SHARE = 0.2
_MORE_OFTEN = 4


class Usage(NamedTuple):
    """How people write.

    Attributes:
        bigrams: pairs of neighbours in their captions, the ends as empty words.
        tails: the commonest endings of three words.
    """

    bigrams: Collection[tuple[str, str]]
    tails: Collection[tuple[str, ...]]


def usage_of(captions: Sequence[str]) -> Usage:
    """How tokenised captions of the training split are written."""
    tails = Counter(_tail(caption.split()) for caption in captions)
    tails.pop((), None)
    popular = {tail for tail, _ in tails.most_common(NUM_TAILS)}
    return Usage(known_bigrams(captions), popular)


def symptoms(
    captions: Sequence[str], references: Sequence[Sequence[str]], usage: Usage | None = None
) -> dict[str, Score]:
    """All `SYMPTOMS` of tokenised captions; totals are shares of captions, lower is better.

    Args:
        captions: of one system, since two of them compare its captions with each other.
        references: human captions of each image, for what people say of it and at what length.
        usage: how people write; without it lists of keywords are found, salads of words are not.
    """
    split = [caption.split() for caption in captions]
    tail = _stock_tail(split, references)
    whole = _commonest(captions, 0)
    longest = [max((len(text.split()) for text in group), default=0) for group in references]
    found = {
        "said_again": [_says_again(words) for words in split],
        "no_sentence": [_is_no_sentence(words, usage) for words in split],
        "appended": [
            _has_appended(words, tail, group, usage)
            for words, group in zip(split, references, strict=True)
        ],
        "common_caption": [caption == whole for caption in captions],
        "too_long": [
            len(words) > _TOO_LONG * most for words, most in zip(split, longest, strict=True)
        ],
    }
    return {name: _share(values) for name, values in found.items()}


def _says_again(words: list[str]) -> bool:
    """Whether one to four words stand twice in a row, or five in a row come again anywhere."""
    in_a_row = any(
        words[k : k + n] == words[k + n : k + 2 * n]
        for n in range(1, _RUN_WORDS)
        for k in range(len(words) - 2 * n + 1)
    )
    runs = [tuple(words[k : k + _RUN_WORDS]) for k in range(len(words) - _RUN_WORDS + 1)]
    return in_a_row or len(set(runs)) < len(runs)


def _is_no_sentence(words: list[str], usage: Usage | None) -> bool:
    """Whether half of the pairs of words are nobody's, or many words hang together by none."""
    if len(words) >= _LIST_WORDS and not BAD_ENDINGS.intersection(words):
        return True
    if usage is None:
        return False
    pairs = pairs_of(" ".join(words))
    return 2 * sum(pair not in usage.bigrams for pair in pairs) >= len(pairs)


def _has_appended(
    words: list[str], commonest: tuple[str, ...] | None, group: Sequence[str], usage: Usage | None
) -> bool:
    """Whether it ends on words that nobody says of the image.

    Those of a fifth of its system's captions, if people end on them far less often, or a popular
    ending behind a word that it never follows.
    """
    tail = _tail(words)
    if not tail or set(tail) <= {word for text in group for word in text.lower().split()}:
        return False
    joint = (words[-_TAIL_WORDS - 1], tail[0])
    popular = usage is not None and tail in usage.tails and joint not in usage.bigrams
    return popular or tail == commonest


def _stock_tail(
    captions: Sequence[list[str]], references: Sequence[Sequence[str]]
) -> tuple[str, ...] | None:
    """What a fifth of the captions end on, and a quarter as many of people's at most."""
    tails = [_tail(words) for words in captions]
    found = _commonest(tails, _STOCK_SHARE)
    people = [_tail(text.lower().rstrip(".").split()) for group in references for text in group]
    often = _MORE_OFTEN * people.count(found or ()) * len(tails)
    return found if found and often <= tails.count(found) * len(people) else None


def _tail(words: list[str]) -> tuple[str, ...]:
    """The last three words of a caption of more."""
    return tuple(words[-_TAIL_WORDS:]) if len(words) > _TAIL_WORDS else ()


def _commonest(items: Sequence[T], least: float) -> T | None:
    """What comes most often, more than once and at least in this share; nothing empty."""
    counts = Counter(item for item in items if item).most_common(1)
    found, count = counts[0] if counts else (None, 0)
    return found if count > 1 and count >= least * len(items) else None


def _share(values: Sequence[bool]) -> Score:
    per_image = np.array(values, np.float64)
    return Score(float(per_image.mean()) if len(per_image) else 0.0, per_image)
