"""Human captions edited by what their images show: one statement made false, or none.

Made from the dataset's facts, by the same reading that judges captions, and checked by it: a false
edit states something false, a harmless one nothing and no less than before. Training mines its
negatives from captions alone; nothing is shared with that.
"""

import random
from collections.abc import Iterator, Sequence

from dico.audit.items import Item, Pair, Purpose
from dico.facts import Reading, Scene, Vocabulary, check_caption, read_caption
from dico.facts.reading import caption_words
from dico.facts.vocabulary import BACKGROUND, COUNT, OBJECT, RELATION, Synonyms, Term

EXCHANGE = "exchange"
MAX_READ = 2000
"""Captions that are read to know what people say."""
Edit = tuple[int, int, str]
"""First word, last + 1, what is written there."""


def fact_pairs(
    items: Sequence[Item], corpus: Sequence[str], vocabulary: Vocabulary, seed: int
) -> list[Pair]:
    """At most one pair of each kind for each image, from whichever of its captions allows it.

    Args:
        items: images with captions and facts.
        corpus: captions; what none of them says of anything, no edit says either.
        vocabulary: of the facts.
        seed: of the choices.
    """
    said = _said(corpus, vocabulary)
    pairs: list[Pair] = []
    owners = _owners(items)
    for place, item in enumerate(items):
        if item.scene is None:
            continue
        rng = random.Random(f"{seed}/{item.image_id}")
        captions = list(item.captions)
        rng.shuffle(captions)
        done: set[tuple[Purpose, str]] = set()
        for caption in captions:
            for pair in _pairs_of(place, caption, item.scene, vocabulary, said, owners, rng):
                if (pair.purpose, pair.kind) not in done:
                    done.add((pair.purpose, pair.kind))
                    pairs.append(pair)
    return pairs


def _owners(items: Sequence[Item]) -> dict[str, list[int]]:
    """Name of an object to the places of the images that show one."""
    owners: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        for name in {thing.name for thing in item.scene.things} if item.scene else ():
            owners.setdefault(name, []).append(place)
    return owners


def _said(corpus: Sequence[str], vocabulary: Vocabulary) -> set[Term]:
    """The terms of captions, thinned out where there are very many."""
    step = max(1, len(corpus) // MAX_READ)
    return {t for text in corpus[::step] for *_, t in read_caption(text, vocabulary).terms}


def _pairs_of(
    place: int,
    caption: str,
    scene: Scene,
    vocabulary: Vocabulary,
    said: set[Term],
    owners: dict[str, list[int]],
    rng: random.Random,
) -> Iterator[Pair]:
    words = caption_words(caption)
    text = " ".join(words)
    before = check_caption(text, scene, vocabulary)
    if not before.wholly_true:
        return  # a caption that the facts do not bear out shows nothing
    reading = read_caption(text, vocabulary)
    for kind, edits in _false_edits(reading, words, vocabulary, said, rng):
        edited = _apply(words, edits)
        after = check_caption(edited, scene, vocabulary)
        if any(not own.true for own in after.statements):
            yield Pair(place, "false", kind, text, edited)
    shown = {thing.name for thing in scene.things}
    absent = [t.value for t in sorted(said) if t.kind == OBJECT and t.value not in shown]
    if absent := [name for name in absent if name in owners]:
        name = rng.choice(absent)
        edited = _apply(words, [(len(words), len(words), f"and a {name}")])
        yield Pair(place, "false", COUNT, text, edited, rng.choice(owners[name]))
    for kind, edits in _harmless_edits(reading, words, vocabulary, rng):
        edited = _apply(words, edits)
        after = check_caption(edited, scene, vocabulary)
        if edited != text and after.wholly_true and after.num_named == before.num_named:
            yield Pair(place, "harmless", kind, text, edited)


def _false_edits(
    reading: Reading,
    words: list[str],
    vocabulary: Vocabulary,
    said: set[Term],
    rng: random.Random,
) -> Iterator[tuple[str, list[Edit]]]:
    """One statement's word for another of its kind; two words exchanged."""
    terms = list(reading.terms)
    rng.shuffle(terms)
    for start, end, term in terms:
        kind = vocabulary.object_kind if term.kind == OBJECT else term.kind
        known = vocabulary.words_of(kind)
        values = [v for v in known if v != term.value and Term(term.kind, v) in said]
        inverse = vocabulary.inverses.get(term.value) if kind == RELATION else None
        rng.shuffle(values)
        for value in [inverse] * bool(inverse) + values[:4]:
            written = _in_form_of(words[start:end], str(value), known)
            yield kind, [(start, end, written)]
    for one in range(len(terms)):
        for other in range(one):
            (a, b, first), (c, d, second) = terms[one], terms[other]
            if first.kind == second.kind != RELATION and first.value != second.value:
                yield EXCHANGE, [(a, b, " ".join(words[c:d])), (c, d, " ".join(words[a:b]))]


def _in_form_of(written: list[str], other: str, known: Synonyms) -> str:
    """``other`` by a synonym of as many words as ``written`` has, where it has one."""
    options = (other, *known[other])
    return next((o for o in options if len(o.split()) == len(written)), other)


def _harmless_edits(
    reading: Reading, words: list[str], vocabulary: Vocabulary, rng: random.Random
) -> Iterator[tuple[str, list[Edit]]]:
    """A word for its synonym; two objects that "and" joins, or a relation turned round."""
    terms = list(reading.terms)
    rng.shuffle(terms)
    for start, end, term in terms:
        kind = vocabulary.object_kind if term.kind == OBJECT else term.kind
        if term.kind == BACKGROUND:
            continue
        known = vocabulary.words_of(kind).get(term.value, ())
        for name in (term.value, *known):
            if name.split() != words[start:end]:
                yield "synonym", [(start, end, name)]
    for first, second in zip(reading.mentions, reading.mentions[1:], strict=False):
        (a, b), (c, d) = first.words, second.words
        between = words[b:c]
        exchange = [(a, b, " ".join(words[c:d])), (c, d, " ".join(words[a:b]))]
        if between in (["and", "a"], ["and", "an"]):
            yield "order", exchange
        inside = [
            (s, e, t) for s, e, t in reading.terms if b <= s and e <= c and t.kind == RELATION
        ]
        for start, end, term in inside:
            if term.value in vocabulary.inverses:
                inverse = vocabulary.inverses[term.value]
                yield "turned", [*exchange, (start, end, inverse)]


def _apply(words: list[str], edits: list[Edit]) -> str:
    """The caption with the edits, its articles agreeing with what follows."""
    out = list(words)
    for start, end, text in sorted(edits, reverse=True):
        out[start:end] = text.split()
    for place in range(len(out) - 1):
        if out[place] in ("a", "an"):
            out[place] = "an" if out[place + 1][0] in "aeiou" else "a"
    return " ".join(out)
