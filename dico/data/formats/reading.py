"""What the readers of all formats share: where images are, which columns count, what was met."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from dico.data.finder import ImageFinder
from dico.data.formats.columns import KNOWN_NAMES, Columns

Findings = list[tuple[str, str]]
Row = tuple[str, Any, Findings]


@dataclass(slots=True)
class Reading:
    """One pass over one file of a dataset."""

    images: ImageFinder
    """Turns names into URIs."""
    columns: Columns = KNOWN_NAMES
    """Columns that the user names."""
    uri: str = ""
    """The file as the dataset names it; its local copy is another where it is remote."""
    split: str = ""
    """The split that the file stands for; empty when its rows say."""
    pixels: bool = False
    """Whether images inside the file are handed on with their entries."""
    captions_only: bool = False
    """Whether a row may lack an image, and keeps every name by which it may be called."""
    unread: Counter[str] = field(default_factory=Counter)
    """What of the file is neither image nor caption nor id: columns, members; with its count."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """An image that a row holds itself."""

    uri: str
    """Where it is; see `dico.images.embedded`."""
    data: bytes | None = None
    """Its bytes, where they were read."""
    name: str = ""
    """The file name that the dataset remembers."""
    problem: str = ""
    """Why it cannot be read; empty where it can."""
