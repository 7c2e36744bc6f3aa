"""State shared by all readers: places of images, chosen columns, findings."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dico.data.finder import ImageFinder
from dico.data.formats.columns import KNOWN_NAMES, Columns, is_column

Findings = list[tuple[str, str]]
Row = tuple[str, Any, Findings]
_MAX_SHAPES = 1_000
_MAX_VALUES, _VALUE_CHARS = 6, 24


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

    values: dict[str, set[str]] = field(default_factory=dict)
    """The values of each column as text, up to one more than `_MAX_VALUES`."""
    _settled: set[str] = field(default_factory=set)
    """Columns whose values need no more looking at."""

    def saw(self, row: Mapping[str, Any]) -> None:
        """Counts the columns of a row; of very many different rows the last are counted as one."""
        shape = tuple(row)
        if shape not in self.shapes and len(self.shapes) >= _MAX_SHAPES:
            shape = ("of other rows",)
        self.shapes[shape] += 1
        for column in row.keys() - self._settled:
            seen = self.values.setdefault(column, set())
            if isinstance(row[column], str | bool):
                seen.add(str(row[column])[:_VALUE_CHARS])
            if column in self.read or len(seen) > _MAX_VALUES:
                self._settled.add(column)

    def lacking(self) -> list[str]:
        """The columns that the user names and no row has."""
        chosen = (column for column, _ in self.columns.where)
        named = (self.columns.image, *self.columns.captions, *chosen)
        return [p for p in named if p and not any(is_column(p, shape) for shape in self.shapes)]

    def not_read(self) -> Counter[str]:
        """Members and columns that were read in no row, with their counts."""
        found = Counter(self.unread)
        for path in self.lacking() if self.shapes else ():
            found[f"no row has the column {path}"] += self.shapes.total()
        for columns, count in self.shapes.items():
            for column in columns:
                if column not in self.read:
                    found[f"column {column}{self._kinds(column)}"] += count
        return found

    def _kinds(self, column: str) -> str:
        """The values of a column that sorts rows, such as a language's, and how to choose one."""
        seen = sorted(self.values.get(column, ()))
        if not 1 < len(seen) <= _MAX_VALUES or any(len(v) == _VALUE_CHARS for v in seen):
            return ""
        return f" of {', '.join(seen)}; --where {column}={seen[0]} reads these alone"


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
