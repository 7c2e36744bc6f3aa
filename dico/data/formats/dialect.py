"""Dialect of a text table, detected from its first lines: delimiter, quoting, header, columns.

Names of columns decide where there is a header. Where there is none, the cells do: an image's name,
a web address or base64 is the image, the longest text is the caption.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dico.data.formats.columns import KNOWN_NAMES, Columns, known_columns, normal_key
from dico.images.embedded import looks_embedded
from dico.storage.uris import IMAGE_SUFFIXES, is_address

DELIMITERS = "\t|;,~"
HEAD_LINES = 60
_MAX_LINES_ABOVE = 5
_AFTER_NAMES = (" => ", " -> ", " - ", ": ", ":", " ")
_ID = re.compile(r"\S*\d\S*")
_NUMBERED_NAME = re.compile(r"#(?:\w+#)?\d+$")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_REPEATED = ("caption", "text", "sentence", "raw", "comment", "description", "reference")


@dataclass(frozen=True, slots=True)
class Quotes:
    """How a table's cells are quoted, where CSV's rules hold."""

    mark: str = '"'
    """Around a cell; doubled inside, or after ``escape``."""
    after_space: bool = False
    """Whether a space may stand between a delimiter and the mark."""
    escape: str = ""
    """Before a mark inside; empty where marks are doubled."""

    def reader(self, lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
        """The cells of each record; raises ``csv.Error`` where a line breaks the rules."""
        return csv.reader(
            map(_keep_escapes, lines) if self.escape else lines,
            delimiter=delimiter,
            quotechar=self.mark,
            skipinitialspace=self.after_space,
            escapechar=self.escape or None,
            doublequote=not self.escape,
            strict=True,
        )

    def explain(self, lines: Sequence[str], delimiter: str, width: int) -> bool:
        """Whether quotes occur, and these rules explain every one of them."""
        if not any(self.mark in line for line in lines):
            return False
        try:
            return all(len(row) == width for row in self.reader(lines, delimiter))
        except csv.Error:
            return False


@dataclass(frozen=True, slots=True)
class Dialect:
    """A table's writing."""

    delimiter: str
    """Between two cells."""
    columns: tuple[str, ...]
    """Name of each cell; empty for one that is not read."""
    has_header: bool
    """Whether the first line names the columns."""
    quoted: bool
    """Whether a cell in quotes may hold delimiters and line breaks, by CSV's rules."""
    quotes: Quotes = Quotes()
    """How cells are quoted, where ``quoted``."""
    all_quoted: str = ""
    """The mark around every last cell, also where none is needed; empty for none."""
    skipped_lines: int = 0
    """Lines before the header: Excel's ``sep=;``, a title, a comment."""
    trailing: str = ""
    """Delimiters at the end of every line, where no header says that they are empty cells."""

    @property
    def caption_is_last(self) -> bool:
        """Whether the last cell is a caption, in which unquoted delimiters are text."""
        return normal_key(self.columns[-1]) in ("caption", *_REPEATED)


def _keep_escapes(line: str) -> str:
    """A line in which a backslash stays before all but a mark, a delimiter and itself."""
    return _ESCAPE.sub(lambda m: m[0] if m[1] in "\"'\\,;\t|" else f"\\{m[0]}", line)


def sniff(text: str, columns: Columns = KNOWN_NAMES) -> Dialect | None:
    """The writing of the table that begins with ``text``; None where it is no table.

    A table whose header is unknown is told by its columns: see `Dialect.columns`.
    """
    numbered = [(n, line) for n, line in enumerate(text.splitlines()[:HEAD_LINES]) if line.strip()]
    lines = [line for _, line in numbered]
    if not lines:
        return None
    match = re.fullmatch(r"sep=(.)", lines[0].strip().lower())
    chosen = match[1] if match else DELIMITERS
    found, above = _with_header(lines, chosen, columns), 0
    while found is None and above < min(_MAX_LINES_ABOVE, len(lines) - 1):
        above += 1
        found = _with_header(lines[above:], chosen, columns)
    if found is None or any(_is_image(c) for line in lines[:above] for c in _cells(line, found[0])):
        above = 1 if match else 0
        found = _without_header(lines[above:], chosen)
    if found is None:
        return None
    delimiter, names, has_header = found
    body = lines[above + has_header :]
    quotes = _quotes(body, delimiter, len(names))
    return Dialect(
        delimiter,
        names,
        has_header,
        quoted=delimiter in ",;" and (has_header or quotes is not None),
        quotes=quotes or Quotes(),
        all_quoted=_all_quoted(body, delimiter, len(names)),
        skipped_lines=numbered[above][0] if above else 0,
        trailing="" if has_header else _trailing(body, delimiter),
    )


def _trailing(lines: Sequence[str], delimiter: str) -> str:
    """The commas that end every line, as exported empty cells do; at other delimiters cells are counted."""
    if delimiter != ",":
        return ""
    tidy = [line.strip() for line in lines]
    return "," * min((len(line) - len(line.rstrip(",")) for line in tidy), default=0)


def unknown_header(text: str) -> tuple[str, ...]:
    """The cells of a first line that looks like a header of unknown names; empty for none."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=line.count)
    try:
        cells = tuple(next(csv.reader([line], delimiter=delimiter, strict=True), ()))
    except csv.Error:
        return ()
    return cells if len(cells) > 1 and all(0 < len(c) < 40 for c in cells) else ()


def _with_header(
    lines: Sequence[str], delimiters: str, columns: Columns
) -> tuple[str, tuple[str, ...], bool] | None:
    best: tuple[int, str, tuple[str, ...]] | None = None
    for delimiter in delimiters:
        cells = _cells(lines[0], delimiter)
        image, caption, has_id = known_columns(cells, columns)
        if not caption or not (image or has_id) or len(cells) < 2 or _is_image(cells[0]):
            continue
        if best is None or len(cells) > best[0]:
            best = (len(cells), delimiter, cells)
    return None if best is None else (best[1], _once_each(best[2], columns), True)


def _cells(line: str, delimiter: str) -> tuple[str, ...]:
    try:
        cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        cells = line.split(delimiter)
    return tuple(cell.strip().strip("'") for cell in cells)


def _once_each(cells: tuple[str, ...], columns: Columns) -> tuple[str, ...]:
    """Names of columns, each once: captions of one name get numbers."""
    names: list[str] = []
    given = {columns.image, *columns.captions}
    keys = [cell if cell in given else normal_key(cell) for cell in cells]
    for index, key in enumerate(keys):
        twice = keys.count(key) > 1
        if twice and key in _REPEATED:
            names.append(f"{key}_{keys[:index].count(key)}")
        else:
            names.append(f"{key}#{index}" if twice and key in names else key)
    return tuple(names)


def _without_header(
    lines: Sequence[str], delimiters: str
) -> tuple[str, tuple[str, ...], bool] | None:
    by_rules = {delimiter: _csv_rows(lines, delimiter) for delimiter in delimiters}
    for delimiter in sorted(delimiters, key=lambda one: not by_rules[one]):
        quoted = by_rules[delimiter]
        rows = quoted or [line.split(delimiter) for line in lines]
        width = _usual(len(row) for row in rows if len(row) > 1)
        if width < 2:
            continue
        columns = list(zip(*(row[:width] for row in rows if len(row) >= width), strict=False))
        shares = [sum(map(_is_image, column)) / len(column) for column in columns]
        inside = [all(map(looks_embedded, column)) for column in columns]
        image = max(range(width), key=lambda index: (inside[index], shares[index]))
        if shares[image] < 0.5 or len(columns[image]) < len(lines) / 2:
            continue
        if len(lines) > 1 and not _is_image(columns[image][0]) and _is_image(columns[image][1]):
            return None  # a header of unknown names
        if delimiter == "," and image == 0 and not quoted and not _is_grid(lines, width):
            width = 2  # a comma in a caption that is in no quotes is text
        names = _headless(columns[:width], image)
        if names:
            return delimiter, names, False
    ids = [line.split("\t") for line in lines]
    if all(len(row) == 2 and _ID.fullmatch(row[0]) and " " in row[1].strip() for row in ids):
        return "\t", ("image_id", "caption"), False
    for delimiter in _AFTER_NAMES:
        cells = [line.partition(delimiter) for line in lines]
        if all(_is_image(name) and text.strip() for name, _, text in cells):
            return delimiter, ("image", "caption"), False
    return None


def _csv_rows(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """The cells of lines that have quotes and are all of one width by CSV's rules; else none."""
    if delimiter not in ",;" or not any('"' in line for line in lines):
        return []
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        return []
    return rows if len({len(row) for row in rows}) == 1 < len(rows[0]) else []


def _headless(columns: Sequence[Sequence[str]], image: int) -> tuple[str, ...]:
    """Names for columns that have none; empty where no column is a caption."""
    names = [""] * len(columns)
    names[image] = "image"
    lengths = [_num_words(column) for column in columns]
    texts = [i for i in range(len(columns)) if i != image and not _is_numbers(columns[i])]
    texts = [i for i in texts if not all(map(_is_image, columns[i]))]
    if not texts:
        return ()
    caption = max(texts, key=lambda index: (lengths[index] >= 1.5, index != image, lengths[index]))
    if lengths[caption] < 1.01 and len(columns) > 2:
        return ()
    others = [index for index in texts if lengths[index] >= max(2, lengths[caption] / 2)]
    for number, index in enumerate(texts):
        names[index] = f"caption_{number}" if index in others else f"cell_{index + 1}"
    if len(others) < 2:
        names[caption] = "caption"
    if len(columns) == 5 and image == 4 and looks_embedded(columns[4][0]):
        names = ["uniq_id", "image_id", "caption", "", "image"]  # as OFA writes its tables
    return tuple(names)


def _is_grid(lines: Sequence[str], width: int) -> bool:
    """Whether commas part cells: as many in each of several lines, and none before a space."""
    return len(lines) > 2 and all(
        line.count(",") == width - 1 and ", " not in line and " ," not in line for line in lines
    )


def _is_image(cell: str) -> bool:
    cell = _NUMBERED_NAME.sub("", cell.strip().strip('"'))
    return cell.lower().endswith(IMAGE_SUFFIXES) or is_address(cell) or looks_embedded(cell)


def _is_numbers(column: Sequence[str]) -> bool:
    return all(re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", cell) for cell in column)


def _num_words(column: Sequence[str]) -> float:
    return sum(len(cell.split()) for cell in column) / max(1, len(column))


def _usual(widths: Iterable[int]) -> int:
    """The most frequent width, the greater of two."""
    found = list(widths)
    return max(set(found), key=lambda width: (found.count(width), width)) if found else 0


def _quotes(lines: Sequence[str], delimiter: str, width: int) -> Quotes | None:
    """The rules that explain the quotes of all lines; None where there are none, or no rules do.

    Single quotes are such only where every last cell is in them: else they are apostrophes.
    """
    marks = ['"', "'"] if _all_quoted(lines, delimiter, width) == "'" else ['"']
    spaced = [any(f"{delimiter} {mark}" in line for line in lines) for mark in marks]
    ways = [Quotes(m, after_space=s) for m, s in zip(marks, spaced, strict=True)][::-1]
    ways.append(Quotes(escape="\\", after_space=spaced[0]))
    return next((way for way in ways if way.explain(lines, delimiter, width)), None)


def _all_quoted(lines: Sequence[str], delimiter: str, width: int) -> str:
    """The quotation mark in which every last cell is; empty for none."""
    last = [line.split(delimiter, width - 1)[-1].strip() for line in lines]
    marks = {cell[-1:] for cell in last}
    if len(marks) > 1 or marks.isdisjoint("\"'"):
        return ""
    mark = marks.pop()
    return mark if all(len(cell) > 1 and cell[0] == mark for cell in last) else ""


def plain_dialect(text: str) -> Dialect:
    """The writing of a table whose columns are unknown: its first line names them."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=line.count)
    names = _once_each(_cells(line, delimiter), KNOWN_NAMES)
    return Dialect(delimiter, names or ("",), has_header=True, quoted=delimiter in ",;")
