"""Images of the toy dataset: a scene drawn with jitter of place, size, turn, tint and noise."""

import math
import random

import numpy as np
from PIL import Image, ImageDraw

from dico.data.toy.scenes import Scene, Thing

Colour = tuple[int, int, int]

PALETTE: dict[str, Colour] = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (60, 100, 235),
    "yellow": (240, 215, 50),
    "purple": (140, 60, 180),
    "orange": (245, 140, 30),
    "pink": (250, 150, 190),
    "white": (245, 245, 245),
    "black": (15, 15, 15),
    "grey": (120, 120, 120),
    "teal": (20, 110, 110),
    "brown": (95, 60, 35),
    "navy": (20, 25, 80),
}
OVERSAMPLING = 3
"""Shapes are drawn this many times larger and reduced, for smooth edges."""
TEXTURE_STEP = 0.15
"""Distance of stripes and of dots in units of the image's side."""
RADIUS = {"small": 0.135, "large": 0.22}
"""Radius of an object in units of the image's side."""


def render(scene: Scene, rng: random.Random, side_px: int) -> Image.Image:
    """Draws ``scene`` as an RGB image of ``side_px`` squared; ``rng`` draws the jitter."""
    canvas_px = side_px * OVERSAMPLING
    canvas = Image.new("RGB", (canvas_px, canvas_px), _tint(PALETTE[scene.background], rng))
    for thing in scene.things:
        mask = _outline(thing, rng, canvas_px)
        canvas.paste(_fill(thing, rng, canvas_px), mask=mask)
    image = np.asarray(canvas.reduce(OVERSAMPLING), dtype=np.float32)
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0.0, 4.0, image.shape)
    return Image.fromarray(np.clip(image + noise, 0, 255).astype(np.uint8))


def _tint(colour: Colour, rng: random.Random) -> Colour:
    red, green, blue = (max(0, min(255, channel + rng.randint(-14, 14))) for channel in colour)
    return red, green, blue


def _outline(thing: Thing, rng: random.Random, canvas_px: int) -> Image.Image:
    """The object's shape as a mask."""
    radius = RADIUS[thing.size] * rng.uniform(0.92, 1.08) * canvas_px
    x, y = (
        (0.25 + 0.5 * index + rng.uniform(-0.05, 0.05)) * canvas_px
        for index in (thing.cell % 2, thing.cell // 2)
    )
    mask = Image.new("L", (canvas_px, canvas_px))
    draw = ImageDraw.Draw(mask)
    box = (x - radius, y - radius, x + radius, y + radius)
    turn = rng.uniform(-0.25, 0.25)
    if thing.shape == "circle":
        draw.ellipse(box, fill=255)
    elif thing.shape == "ring":
        draw.ellipse(box, outline=255, width=round(radius * 0.4))
    else:
        draw.polygon(
            [
                (x + radius * r * math.sin(a + turn), y - radius * r * math.cos(a + turn))
                for r, a in _corners(thing.shape)
            ],
            fill=255,
        )
    return mask


def _corners(shape: str) -> list[tuple[float, float]]:
    """Corners of a polygon as (distance in radii, clockwise angle from the top)."""
    if shape == "square":
        return [(1.15, math.pi / 4 + math.pi / 2 * i) for i in range(4)]
    if shape == "triangle":
        return [(1.2, 2 * math.pi / 3 * i) for i in range(3)]
    if shape == "star":
        return [(1.2 if i % 2 == 0 else 0.48, math.pi / 5 * i) for i in range(10)]
    arm, half_width = 1.1, 0.34
    points = [(half_width, arm), (half_width, half_width), (arm, half_width)]
    quarter = [(math.hypot(px, py), math.atan2(px, py)) for px, py in points]
    return [(r, a + math.pi / 2 * i) for i in range(4) for r, a in quarter]


def _fill(thing: Thing, rng: random.Random, canvas_px: int) -> Image.Image:
    """The object's colour and texture over the whole canvas."""
    colour = _tint(PALETTE[thing.colour], rng)
    dark = tuple(round(channel * 0.2) for channel in colour)
    fill = Image.new("RGB", (canvas_px, canvas_px), colour)
    draw = ImageDraw.Draw(fill)
    step = round(canvas_px * TEXTURE_STEP)
    offset = rng.randrange(step)
    if thing.texture == "striped":
        for y in range(offset - step, canvas_px, step):
            draw.rectangle((0, y, canvas_px, y + step * 0.5), fill=dark)
    if thing.texture == "dotted":
        size = step * 0.6
        for y in range(offset - step, canvas_px, step):
            for x in range(offset - step, canvas_px, step):
                draw.ellipse((x, y, x + size, y + size), fill=dark)
    return fill
