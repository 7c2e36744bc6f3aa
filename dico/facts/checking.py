"""Which statements of a caption are true of a scene.

Each mention is taken for the object of the scene that makes the fewest statements of the caption
false (relations included), no two for the same one: the reading in the caption's favour. A mention
that no object is left for is an error of count, and all that is said of it is false. What nothing
is known about is not judged. To deny what is there is false; to deny what is not states nothing, or a
caption could be filled up with it. An attribute is named by who says one of its kind: "small and
large" names no size.
"""

from dataclasses import dataclass
from typing import NamedTuple

from dico.facts.reading import Mention, Reading, read_caption
from dico.facts.scene import Scene, Thing
from dico.facts.vocabulary import BACKGROUND, COUNT, RELATION, Term, Vocabulary

MAX_STATES = 256
"""Partial matchings that are kept: more than there are for three objects and six mentions, so the
best one is found there; with many more of both it is a good one."""


class Statement(NamedTuple):
    """One statement and whether it is true."""

    kind: str
    """object, a kind of attribute, relation, background or count; the vocabulary's word for object."""

    value: str
    """What is said."""

    true: bool
    """Whether it is so."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one caption."""

    statements: tuple[Statement, ...]
    """Those that could be judged."""

    num_named: int
    """Facts of the scene that some true statement names."""

    num_facts: int
    """Facts of the scene."""

    @property
    def wholly_true(self) -> bool:
        """Whether it states something and nothing false."""
        return bool(self.statements) and all(own.true for own in self.statements)


class _State(NamedTuple):
    num_false: int
    num_wrong_names: int
    minus_named: int
    places: tuple[int | None, ...]


def check_caption(caption: str | Reading, scene: Scene, vocabulary: Vocabulary) -> Verdict:
    """Judges one caption, or what was read from it."""
    reading = read_caption(caption, vocabulary) if isinstance(caption, str) else caption
    places = _match(reading, scene, vocabulary)
    statements: list[Statement] = []
    named: set[tuple[object, ...]] = set()
    for mention, place in zip(reading.mentions, places, strict=True):
        if place is None:
            statements.append(Statement(COUNT, mention.name, False))
            statements += [Statement(own.kind, own.value, False) for own in mention.attributes]
            continue
        thing = scene.things[place]
        statements.append(
            Statement(vocabulary.object_kind, mention.name, mention.name == thing.name)
        )
        named |= {(place,)} if mention.name == thing.name else set()
        judged = _judged(mention, thing)
        statements += [Statement(term.kind, term.value, true) for term, true in judged]
        wrong = {term.kind for term, true in judged if not true}
        named |= {(place, term.kind) for term, true in judged if true and term.kind not in wrong}
    for first, relation, second in reading.relations:
        held = _holds(places[first], relation, places[second], scene, vocabulary)
        if held is not None:
            statements.append(Statement(RELATION, relation, held))
        if held:
            named |= _named_relations(places[first], relation, places[second], scene, vocabulary)
    for value in reading.backgrounds if scene.background is not None else ():
        true = value in (scene.background or ())
        statements.append(Statement(BACKGROUND, value, true))
        named |= {(BACKGROUND,)} if true else set()
    for own in reading.denied:
        if any(_is_like(own, thing) for thing in scene.things):
            statements.append(Statement(vocabulary.object_kind, own.name, False))
    for term in reading.loose:
        known = [t.attributes[term.kind] for t in scene.things if term.kind in t.attributes]
        if known:
            statements.append(Statement(term.kind, term.value, any(term.value in v for v in known)))
    return Verdict(tuple(statements), len(named), scene.num_facts)


def _is_like(mention: Mention, thing: Thing) -> bool:
    """Whether an object is what the mention says, as far as anything is known."""
    return mention.name == thing.name and all(true for _, true in _judged(mention, thing))


def _match(reading: Reading, scene: Scene, vocabulary: Vocabulary) -> tuple[int | None, ...]:
    """The object of each mention, or None where there is none left."""
    before: dict[int, list[tuple[int, str]]] = {}
    for first, relation, second in reading.relations:
        before.setdefault(second, []).append((first, relation))
    states = [_State(0, 0, 0, ())]
    for number, mention in enumerate(reading.mentions):
        grown = []
        for state in states:
            free = [k for k in range(len(scene.things)) if k not in state.places]
            for place in (*free, None):
                cost = _cost(mention, place, scene)
                false = cost.num_false
                for first, relation in before.get(number, ()):
                    whole = (*state.places, place)
                    held = _holds(whole[first], relation, place, scene, vocabulary)
                    false += held is False
                grown.append(
                    _State(
                        state.num_false + false,
                        state.num_wrong_names + cost.num_wrong_names,
                        state.minus_named + cost.minus_named,
                        (*state.places, place),
                    )
                )
        states = sorted(grown, key=_order)[:MAX_STATES]
    return min(states, key=_order).places


def _order(state: _State) -> tuple[int, int, int, tuple[int, ...]]:
    places = tuple(len(state.places) if place is None else place for place in state.places)
    return state.num_false, state.num_wrong_names, state.minus_named, places


def _cost(mention: Mention, place: int | None, scene: Scene) -> _State:
    if place is None:
        return _State(1 + len(mention.attributes), 1, 0, ())
    thing = scene.things[place]
    judged = [true for _, true in _judged(mention, thing)]
    right = mention.name == thing.name
    return _State(judged.count(False) + (not right), not right, -(judged.count(True) + right), ())


def _judged(mention: Mention, thing: Thing) -> list[tuple[Term, bool]]:
    """The statements on the object's attributes, where something is known of the kind."""
    return [
        (term, term.value in thing.attributes[term.kind])
        for term in mention.attributes
        if term.kind in thing.attributes
    ] + [(term, False) for term in mention.attributes if term.kind == BACKGROUND]


def _holds(
    first: int | None, relation: str, second: int | None, scene: Scene, vocabulary: Vocabulary
) -> bool | None:
    """Whether the relation is true; None where nothing is known of the two."""
    if first is None or second is None:
        return False
    there = scene.related.get((first, second), set())
    back = scene.related.get((second, first), set())
    if not there and not back:
        return None
    return relation in there or vocabulary.inverses.get(relation) in back


def _named_relations(
    first: int | None, relation: str, second: int | None, scene: Scene, vocabulary: Vocabulary
) -> set[tuple[object, ...]]:
    """The relations of the scene that this one states, in either direction."""
    inverse = vocabulary.inverses.get(relation)
    stated = {(first, relation, second), (second, inverse, first)}
    return {own for own in scene.relations if own in stated}
