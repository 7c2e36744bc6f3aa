"""Captions of people edited without knowing what their images show: English words, by frames.

A content word gives way to one that other captions have between the same two neighbours, and that
no caption of this image has; colours, numbers and spatial words to others of their lists; two words
behind articles change places; an object of another image is added. Some edits stay true by luck, so
an evaluator's accuracy has a ceiling below 1. Training mines its negatives by other means.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from dico.audit.fact_edits import EXCHANGE
from dico.audit.items import Item, Pair, Purpose
from dico.facts.reading import caption_words
from dico.metrics.fluency import CONJUNCTIONS, DETERMINERS, PREPOSITIONS

COLOURS = "red green blue yellow white black brown orange pink purple grey".split()  # noqa: SIM905
NUMBERS = "two three four five six".split()  # noqa: SIM905
OPPOSITES = {
    "left": "right", "above": "below", "under": "over", "behind": "before", "inside": "outside",
    "up": "down", "front": "back", "onto": "off", "top": "bottom",
}  # fmt: skip
_SPATIAL = OPPOSITES | {other: one for one, other in OPPOSITES.items()}
_PLAIN = DETERMINERS | PREPOSITIONS | CONJUNCTIONS | frozenset("is are was were".split())  # noqa: SIM905
ADDED = "added object"
_ARTICLES = ("a", "an", "the")
MIN_COUNT = 3
"""Captions that must have a word in a frame before it is taken for a word of that place."""

Frames = dict[tuple[str, str], Counter[str]]


def text_pairs(items: Sequence[Item], corpus: Sequence[str], seed: int) -> list[Pair]:
    """At most one pair of each kind for each image.

    Args:
        items: images with their captions.
        corpus: captions from which words and frames are learnt, such as the training split's.
        seed: of the choices.
    """
    frames = _frames(corpus)
    pairs: list[Pair] = []
    for place, item in enumerate(items):
        rng = random.Random(f"{seed}/{item.image_id}")
        captions = [caption_words(caption) for caption in item.captions]
        known = {word for words in captions for word in words}
        stranger = (place + 1 + rng.randrange(len(items) - 1)) % len(items)
        phrase = _object_phrase(items[stranger], known, rng)
        done: set[tuple[Purpose, str]] = set()
        for words in captions:
            for purpose, kind, edited in _edits(words, known, frames, phrase, rng):
                if (purpose, kind) not in done and edited != words:
                    done.add((purpose, kind))
                    texts = " ".join(words), " ".join(edited)
                    owner = stranger if kind == ADDED else -1
                    pairs.append(Pair(place, purpose, kind, *texts, owner))
    return pairs


def _edits(
    words: list[str], known: set[str], frames: Frames, phrase: list[str], rng: random.Random
) -> Iterator[tuple[Purpose, str, list[str]]]:
    places = list(range(len(words)))
    rng.shuffle(places)
    for place in places:
        word = words[place]
        for kind, names in (("colour", COLOURS), ("number", NUMBERS)):
            free = [name for name in names if name not in known]
            if word in names and free:
                yield "false", kind, _with(words, place, rng.choice(free))
        if word in _SPATIAL:
            yield "false", "relation", _with(words, place, _SPATIAL[word])
        if word not in _PLAIN and word not in COLOURS and place > 0:
            after = words[place + 1] if place + 1 < len(words) else ""
            found = frames.get((words[place - 1], after), Counter())
            free = [w for w, n in found.items() if n >= MIN_COUNT and w not in known]
            if free:
                yield "false", "content word", _with(words, place, rng.choice(sorted(free)))
    behind = [
        k for k in range(1, len(words)) if words[k - 1] in _ARTICLES and words[k] not in _PLAIN
    ]
    if len(behind) > 1:
        one, other = rng.sample(behind, 2)
        if words[one] != words[other]:
            exchanged = _with(words, one, words[other])
            yield "false", EXCHANGE, _with(exchanged, other, words[one])
    if phrase:
        yield "false", ADDED, [*words, "and", *phrase]
    for place in places:
        if words[place] in ("a", "an"):
            yield "harmless", "article", _with(words, place, "the")


def _frames(corpus: Sequence[str]) -> Frames:
    """Left and right neighbour to the content words that stand between them, by captions."""
    found: Frames = defaultdict(Counter)
    for caption in corpus:
        words = ["", *caption_words(caption), ""]
        triples = set(zip(words, words[1:], words[2:], strict=False))
        for left, word, right in triples:
            if word not in _PLAIN and word not in COLOURS:
                found[left, right][word] += 1
    return found


def _object_phrase(item: Item, known: set[str], rng: random.Random) -> list[str]:
    """An article and what follows it up to the next plain word, unknown to the other image."""
    phrases = []
    for caption in item.captions:
        words = caption_words(caption)
        for place, word in enumerate(words):
            if word in ("a", "an"):
                tail = words[place + 1 :]
                length = next((n for n, w in enumerate(tail) if w in _PLAIN), len(tail))
                phrase = tail[:length]
                if 1 <= length <= 3 and known.isdisjoint(phrase):
                    phrases.append([word, *phrase])
    return rng.choice(phrases) if phrases else []


def _with(words: list[str], place: int, word: str) -> list[str]:
    return [*words[:place], word, *words[place + 1 :]]
