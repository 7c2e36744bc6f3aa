"""Human captions edited without knowing what their images show: English words, by frames.

A content word gives way to one that other captions have between the same two neighbours, and of
which no caption of this image has a form; colours, numbers and spatial words give way to others of
their lists; two nouns behind articles change places; an object of another image is added. Some edits stay true by luck, so
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
    "left": "right", "right": "left", "above": "below", "below": "above", "inside": "outside",
    "outside": "inside", "top": "bottom", "bottom": "top", "up": "down", "down": "up",
    "under": "above", "behind": "in front of",
}  # fmt: skip
_PLAIN = DETERMINERS | PREPOSITIONS | CONJUNCTIONS | frozenset("is are was were".split())  # noqa: SIM905
ADDED = "added object"
_ARTICLES = ("a", "an", "the")
MIN_COUNT = 3
"""Captions that must have a word in a frame before it is taken for a word of that place."""

MIN_SHARE = 0.3
"""Share of a noun's places behind an article where its phrase ends with it."""
STEM_CHARS = 4
"""Words that begin alike are taken for forms of one word: jumps and jumping."""

Frames = dict[tuple[str, str], Counter[str]]


def text_pairs(items: Sequence[Item], corpus: Sequence[str], seed: int) -> list[Pair]:
    """At most one pair of each kind for each image.

    Args:
        items: images with their captions.
        corpus: captions from which words and frames are learnt, such as the training split's.
        seed: of the choices.
    """
    frames = _frames(corpus)
    nouns = _nouns(frames)
    pairs: list[Pair] = []
    for place, item in enumerate(items):
        rng = random.Random(f"{seed}/{item.image_id}")
        captions = [caption_words(caption) for caption in item.captions]
        known = {word for words in captions for word in words}
        stranger = (place + 1 + rng.randrange(len(items) - 1)) % len(items)
        phrase = _object_phrase(items[stranger], known, rng)
        done: set[tuple[Purpose, str]] = set()
        for words in captions:
            for purpose, kind, edited in _edits(words, known, frames, nouns, phrase, rng):
                if (purpose, kind) not in done and edited != words:
                    done.add((purpose, kind))
                    texts = " ".join(words), " ".join(edited)
                    owner = stranger if kind == ADDED else -1
                    pairs.append(Pair(place, purpose, kind, *texts, owner))
    return pairs


def _edits(
    words: list[str],
    known: set[str],
    frames: Frames,
    nouns: set[str],
    phrase: list[str],
    rng: random.Random,
) -> Iterator[tuple[Purpose, str, list[str]]]:
    places = list(range(len(words)))
    rng.shuffle(places)
    for place in places:
        word = words[place]
        for kind, names in (("colour", COLOURS), ("number", NUMBERS)):
            free = [name for name in names if name not in known]
            if word in names and free:
                yield "false", kind, _with(words, place, rng.choice(free))
        if word in OPPOSITES:
            yield "false", "relation", _with(words, place, OPPOSITES[word])
        if word not in _PLAIN and word not in COLOURS and place > 0:
            after = words[place + 1] if place + 1 < len(words) else ""
            found = frames.get((words[place - 1], after), Counter())
            free = [w for w, n in found.items() if n >= MIN_COUNT and _is_other(w, known)]
            if free:
                yield "false", "content word", _with(words, place, rng.choice(sorted(free)))
    behind = [k for k, w in enumerate(words) if k and words[k - 1] in _ARTICLES and w in nouns]
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


def _nouns(frames: Frames) -> set[str]:
    """Words behind articles that a plain word or the end follows: often, and not by exception."""
    whole: Counter[str] = Counter()
    closed: Counter[str] = Counter()
    for (left, right), found in frames.items():
        if left in _ARTICLES:
            whole.update(found)
            closed.update(found if right in _PLAIN or not right else {})
    return {w for w, n in closed.items() if n >= MIN_COUNT and n >= MIN_SHARE * whole[w]}


def _is_other(word: str, known: set[str]) -> bool:
    """Whether it is no form of a word that people say of the image."""
    return all(word[:STEM_CHARS] != own[:STEM_CHARS] for own in known)


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


def _with(words: list[str], place: int, text: str) -> list[str]:
    """The caption with another word or phrase in one place, the article before it agreeing."""
    before = list(words[:place])
    if before and before[-1] in ("a", "an"):
        before[-1] = "an" if text[0] in "aeiou" else "a"
    return [*before, *text.split(), *words[place + 1 :]]
