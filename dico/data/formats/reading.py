"""State shared by all readers: places of images, chosen columns, findings."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dico.data.finder import ImageFinder
from dico.data.formats.columns import KNOWN_NAMES, Columns, is_column

Findings = list[tuple[str, str]]
Row = tuple[str, Any, Findings]
_MAX_SHAPES = 1_000


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
    """What of the file is neither image nor caption nor id: members; with its count."""
    read: set[str] = field(default_factory=set)
    """Columns that were read in some row."""
    shapes: Counter[tuple[str, ...]] = field(default_factory=Counter)
    """The columns of the rows, with the number of rows that have them."""

    def saw(self, row: Iterable[str]) -> None:
        """Counts the columns of a row; of very many different rows the last are counted as one."""
        shape = tuple(row)
        if shape not in self.shapes and len(self.shapes) >= _MAX_SHAPES:
            shape = ("of other rows",)
        self.shapes[shape] += 1

    def not_read(self) -> Counter[str]:
        """Members and columns that were read in no row, with their counts."""
        found = Counter(self.unread)
        for path in (self.columns.image, *self.columns.captions):
            if path and self.shapes and not any(is_column(path, shape) for shape in self.shapes):
                found[f"no row has the column {path}"] += self.shapes.total()
        for columns, count in self.shapes.items():
            for column in columns:
                if column not in self.read:
                    found[f"column {column}"] += count
        return found


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
