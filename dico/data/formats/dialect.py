"""Dialect of a text table, detected from its first lines: delimiter, quoting, header, columns.

Names of columns decide where there is a header. Where there is none, the cells do: an image's name,
a web address or base64 is the image, the longest text is the caption.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dico.data.formats.columns import KNOWN_NAMES, Columns, known_columns, normal_key
from dico.images.embedded import looks_embedded
from dico.storage.uris import IMAGE_SUFFIXES, is_address

DELIMITERS = "\t|;,"
HEAD_LINES = 60
_NUMBERED_NAME = re.compile(r"#\d+$")
_REPEATED = ("caption", "text", "sentence", "raw", "comment", "description", "reference")


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
    all_quoted: bool = False
    """Whether every text is in quotes, also where none is needed."""
    skipped_lines: int = 0
    """Lines before the header: Excel's ``sep=;``."""

    @property
    def caption_is_last(self) -> bool:
        """Whether the last cell is a caption, in which unquoted delimiters are text."""
        return normal_key(self.columns[-1]) in ("caption", *_REPEATED)


def sniff(text: str, columns: Columns = KNOWN_NAMES) -> Dialect | None:
    """The writing of the table that begins with ``text``; None where it is no table.

    A table whose header is unknown is told by its columns: see `Dialect.columns`.
    """
    lines = [line for line in text.splitlines()[:HEAD_LINES] if line.strip()]
    if not lines:
        return None
    skipped, chosen = 0, DELIMITERS
    match = re.fullmatch(r"sep=(.)", lines[0].strip().lower())
    if match:
        skipped, chosen, lines = 1, match[1], lines[1:]
    if not lines:
        return None
    found = _with_header(lines, chosen, columns) or _without_header(lines, chosen)
    if found is None:
        return None
    delimiter, names, has_header = found
    body = lines[has_header:]
    return Dialect(
        delimiter,
        names,
        has_header,
        quoted=delimiter in ",;" and (has_header or _follows_csv(body, delimiter, len(names))),
        all_quoted=_all_quoted(body, delimiter),
        skipped_lines=skipped,
    )


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
    return tuple(cell.strip() for cell in cells)


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
    for delimiter in delimiters:
        rows = [line.split(delimiter) for line in lines]
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
        if delimiter == "," and image == 0:
            width = 2  # a comma in a caption that is in no quotes is text
        names = _headless(columns[:width], image)
        if names:
            return delimiter, names, False
    return None


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
    names[caption] = "caption"
    if len(columns) == 5 and image == 4 and looks_embedded(columns[4][0]):
        names = ["uniq_id", "image_id", "caption", "", "image"]  # as OFA writes its tables
    return tuple(names)


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


def _follows_csv(lines: Sequence[str], delimiter: str, width: int) -> bool:
    """Whether quotes occur, and CSV's rules explain every one of them."""
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        return False
    return any('"' in line for line in lines) and all(len(row) == width for row in rows)


def _all_quoted(lines: Sequence[str], delimiter: str) -> bool:
    last = [line.rstrip("\r\n").split(delimiter)[-1].strip() for line in lines]
    return bool(last) and all(len(c) > 1 and c[0] == c[-1] == '"' for c in last)


def plain_dialect(text: str) -> Dialect:
    """The writing of a table whose columns are unknown: its first line names them."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=line.count)
    names = _once_each(_cells(line, delimiter), KNOWN_NAMES)
    return Dialect(delimiter, names or ("",), has_header=True, quoted=delimiter in ",;")
