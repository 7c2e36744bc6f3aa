"""Items of an audit: images with human captions, and pairs of captions to compare."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from dico.facts import Scene

Purpose = Literal["false", "harmless", "hack"]


@dataclass(frozen=True, slots=True)
class Item:
    """One image of the audit."""

    image_id: str
    """Its name."""

    key: str
    """What judges know it by: the SHA-256 of its file."""

    captions: tuple[str, ...]
    """What people say."""

    scene: Scene | None = None
    """Its facts, where the dataset has them."""


class Pair(NamedTuple):
    """A human caption and what was made of it."""

    item: int
    """Place of the image among the items."""

    purpose: Purpose
    """false: no longer true; harmless: as true as before; hack: what a reward must not pay for."""

    kind: str
    """Kind of edit."""

    caption: str
    """The human caption, as plain words."""

    edited: str
    """The other one."""

    stranger: int = -1
    """Place of the image that what was added belongs to; -1 where nothing was added."""
