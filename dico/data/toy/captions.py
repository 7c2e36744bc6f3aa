"""Captions of the small world, as people write them: true, varied and incomplete.

Each writer mentions each detail only with some probability. A captioner trained on them by
cross-entropy therefore learns short, vague captions: the state from which DiCO starts.
"""

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


def write_caption(scene: Scene, rng: random.Random) -> str:
    """A caption in which the writer leaves things out."""
    things = [thing for thing in scene.things if rng.random() < 0.66] or [rng.choice(scene.things)]
    phrases = [_noun_phrase(thing, rng, size=0.2, texture=0.45, colour=0.75) for thing in things]
    related = things[:2] == list(scene.things[:2]) and len(scene.things) > 1 and rng.random() < 0.5
    text = _join(phrases, _word(scene.relation, rng) if related else "", rng)
    return text + (_setting(scene, rng) if rng.random() < 0.35 else "")


def write_full_caption(scene: Scene, rng: random.Random) -> str:
    """A caption that names every detail: the paraphrase that serves as an added positive."""
    phrases = [_noun_phrase(thing, rng, size=1, texture=1, colour=1) for thing in scene.things]
    return _join(phrases, _word(scene.relation, rng), rng) + _setting(scene, rng)


def _word(word: str, rng: random.Random) -> str:
    return rng.choice(SYNONYMS[word]) if word in SYNONYMS else word


def _noun_phrase(
    thing: Thing, rng: random.Random, *, size: float, texture: float, colour: float
) -> str:
    words = []
    if rng.random() < size:
        words.append(_word(thing.size, rng))
    if thing.texture != "plain" and rng.random() < texture:
        words.append(thing.texture)
    if rng.random() < colour:
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
