"""A small vocabulary and a scene with all kinds of facts."""

import pytest

from dico.facts import Scene, Thing, Vocabulary


@pytest.fixture
def vocabulary():
    return Vocabulary(
        objects={"dog": ("puppy",), "ball": (), "teddy bear": (), "cherry": ()},
        attributes={"colour": {"red": (), "white": (), "sand": ()}, "size": {"big": ("large",)}},
        relations={"left of": ("to the left of",), "right of": (), "on": ("on top of",)},
        inverses={"left of": "right of", "right of": "left of"},
        backgrounds={"beach": (), "sand": ()},
    )


@pytest.fixture
def scene():
    """A white dog of unknown size left of a red and white ball that is not big, on a beach."""
    return Scene(
        (
            Thing("dog", {"colour": ("white",)}),
            Thing("ball", {"colour": ("red", "white"), "size": ()}),
        ),
        ((0, "left of", 1),),
        (),
        ("beach",),
    )
