"""The facts of the toy dataset's scenes, in the format that a user would bring."""

from dico.data.toy.captions import SYNONYMS
from dico.data.toy.render import PALETTE
from dico.data.toy.scenes import BACKGROUNDS, COLOURS, RELATIONS, SHAPES, SIZES, TEXTURES
from dico.data.toy.scenes import Scene as ToyScene
from dico.facts import Scene, Thing, Vocabulary

_INVERSES = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
_PLAIN = TEXTURES[0]


def _with_synonyms(values: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    known = {value: dict.fromkeys(SYNONYMS.get(value, ())) for value in values}
    return {value: tuple(name for name in own if name != value) for value, own in known.items()}


TOY_VOCABULARY = Vocabulary(
    objects=_with_synonyms(SHAPES),
    attributes={
        "colour": _with_synonyms(tuple(name for name in PALETTE if name in COLOURS + BACKGROUNDS)),
        "texture": _with_synonyms(TEXTURES),
        "size": _with_synonyms(SIZES),
    },
    relations=_with_synonyms(RELATIONS),
    inverses=_INVERSES,
    backgrounds=_with_synonyms(BACKGROUNDS),
    object_kind="shape",
)


def facts_of(scene: ToyScene) -> Scene:
    """What a scene shows; a plain object has no texture that a caption could name."""
    things = tuple(
        Thing(
            thing.shape,
            {
                "colour": (thing.colour,),
                "texture": () if thing.texture == _PLAIN else (thing.texture,),
                "size": (thing.size,),
            },
        )
        for thing in scene.things
    )
    named = ((0, scene.relation, 1),) if scene.relation else ()
    return Scene(things, named, _implied(scene), (scene.background,))


def _implied(scene: ToyScene) -> tuple[tuple[int, str, int], ...]:
    """How the third object lies to the others, which no caption has a place for."""
    found = []
    for first in range(min(2, len(scene.things) - 1)):
        if len(scene.things) < 3:
            break
        (ax, ay), (bx, by) = (
            (scene.things[k].cell % 2, scene.things[k].cell // 2) for k in (first, 2)
        )
        if ax != bx:
            found.append((first, "left of" if ax < bx else "right of", 2))
        if ay != by:
            found.append((first, "above" if ay < by else "below", 2))
    return tuple(found)
