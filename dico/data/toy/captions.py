"""Captions of the toy dataset, as people write them: true, varied and incomplete.

Writers mention each detail only with some probability, and the thorough ones differ in which and in
what words. The likeliest caption is therefore a short, vague one: what a captioner learns by
cross-entropy, and the state from which DiCO starts.
"""

import dataclasses
import random

from dico.data.toy.scenes import Scene, Thing

SYNONYMS = {
    "circle": ("circle", "circle", "disc"),
    "square": ("square", "square", "box"),
    "large": ("large", "large", "big"),
    "small": ("small", "small", "little"),
    "left of": ("to the left of", "left of"),
    "right of": ("to the right of", "right of"),
    "above": ("above", "above", "over"),
    "below": ("below", "below", "under"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Writer:
    """How likely a person is to mention each kind of detail."""

    thing: float
    size: float
    texture: float
    colour: float
    relation: float
    setting: float


TERSE = Writer(thing=0.6, size=0.05, texture=0.15, colour=0.65, relation=0.3, setting=0.1)
THOROUGH = Writer(thing=0.95, size=0.7, texture=0.8, colour=0.95, relation=0.8, setting=0.7)
COMPLETE = Writer(thing=1, size=1, texture=1, colour=1, relation=1, setting=1)
THOROUGH_SHARE = 0.6
"""Share of captions by thorough writers; no two of them choose the same details and words."""


def write_caption(scene: Scene, rng: random.Random) -> str:
    """A caption by a terse or a thorough writer; both leave things out."""
    return _write(scene, rng, THOROUGH if rng.random() < THOROUGH_SHARE else TERSE)


def write_full_caption(scene: Scene, rng: random.Random) -> str:
    """A caption that names every detail: the paraphrase that serves as an added positive."""
    return _write(scene, rng, COMPLETE)


def _write(scene: Scene, rng: random.Random, writer: Writer) -> str:
    things = [thing for thing in scene.things if rng.random() < writer.thing]
    things = things or [rng.choice(scene.things)]
    phrases = [_noun_phrase(thing, rng, writer) for thing in things]
    both = len(things) > 1 and things[:2] == list(scene.things[:2])
    related = both and rng.random() < writer.relation
    text = _join(phrases, _word(scene.relation, rng) if related else "", rng)
    return text + (_setting(scene, rng) if rng.random() < writer.setting else "")


def _word(word: str, rng: random.Random) -> str:
    return rng.choice(SYNONYMS[word]) if word in SYNONYMS else word


def _noun_phrase(thing: Thing, rng: random.Random, writer: Writer) -> str:
    words = []
    if rng.random() < writer.size:
        words.append(_word(thing.size, rng))
    if thing.texture != "plain" and rng.random() < writer.texture:
        words.append(thing.texture)
    if rng.random() < writer.colour:
        words.append(thing.colour)
    words.append(_word(thing.shape, rng))
    article = "an" if words[0][0] in "aeiou" else "a"
    return " ".join([article, *words])


def _join(phrases: list[str], relation: str, rng: random.Random) -> str:
    if len(phrases) == 1:
        return phrases[0]
    first, second, *third = phrases
    pair = f"{first} {relation} {second}" if relation else f"{first} and {second}"
    return f"{pair} {rng.choice(('with', 'and'))} {third[0]}" if third else pair


def _setting(scene: Scene, rng: random.Random) -> str:
    return rng.choice((" on a {} background", " on {}")).format(scene.background)
