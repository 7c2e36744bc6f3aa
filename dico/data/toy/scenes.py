"""Scenes of the toy dataset: one to three coloured shapes in a relation, on a background."""

import dataclasses
import random

SHAPES = ("circle", "square", "triangle", "cross", "ring")
COLOURS = ("red", "green", "blue", "yellow", "white")
TEXTURES = ("plain", "striped", "dotted")
SIZES = ("small", "large")
BACKGROUNDS = ("black", "grey", "teal")
RELATIONS = ("left of", "right of", "above", "below")

CELLS = {"left of": (0, 1), "right of": (1, 0), "above": (0, 2), "below": (2, 0)}
"""Cells of a 2 x 2 grid (0 1 / 2 3) of the first and the second object, by their relation."""


@dataclasses.dataclass(frozen=True, slots=True)
class Thing:
    """One object of a scene and the grid cell that it lies in."""

    shape: str
    colour: str
    texture: str
    size: str
    cell: int


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """What an image shows: the objects, how the first two relate, and the background."""

    things: tuple[Thing, ...]
    relation: str
    background: str


def sample_scene(rng: random.Random) -> Scene:
    """Draws a scene: one, two or three objects with probabilities .42, .46 and .12.

    The second object is placed by the relation; the third takes a cell in the other row or column.
    """
    num_things = rng.choices((1, 2, 3), (0.42, 0.46, 0.12))[0]
    relation = rng.choice(RELATIONS)
    shift = rng.choice((0, 2 if relation in ("left of", "right of") else 1))
    cells = [cell + shift for cell in CELLS[relation]]
    cells.append(rng.choice([cell for cell in range(4) if cell not in cells]))
    things = tuple(
        Thing(
            rng.choice(SHAPES),
            rng.choice(COLOURS),
            rng.choices(TEXTURES, (0.34, 0.33, 0.33))[0],
            rng.choice(SIZES),
            cell,
        )
        for cell in cells[:num_things]
    )
    return Scene(things, relation if num_things > 1 else "", rng.choice(BACKGROUNDS))
