"""Text tables as rows: CSV, TSV, Flickr8k's and Flickr30k's files, CC3M's and OFA's.

A comma or semicolon follows CSV's rules: a cell in quotes may hold delimiters, line breaks and
doubled quotes. Between tabs and vertical bars quotes are text, unless a cell shows that it is quoted. A
line that does not fit is a finding and costs no other line.
"""

import csv
import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

from dico.data.formats.dialect import Dialect
from dico.data.formats.inline import embed
from dico.data.formats.reading import Findings, Reading, Row
from dico.data.formats.texts import byte_order_mark, is_packed, open_text

MAX_FIELD_CHARS = 32_000_000
_MAX_LINES = 200
_BROKEN_PIPE = re.compile(r"\s*\d+\s+(\S.*)", re.DOTALL)
_IMAGE_LINE = re.compile(r"\n\S+\.(?:jpe?g|png|webp|gif|bmp|tiff?)[#,\t|;\"]", re.IGNORECASE)
_RULE = re.compile(r"[\s|:+=,-]*-{3}[\s|:+=,-]*")
_NUMBER = re.compile(r"#(?:\w+#)?\d+$")


def read(path: str, dialect: Dialect, reading: Reading) -> Iterator[Row]:
    """Rows of a text table."""
    csv.field_size_limit(MAX_FIELD_CHARS)
    with open_text(path) as file:
        lines = _Lines(file, byte_order_mark(path))
        for _ in range(dialect.skipped_lines):
            above = next(lines, "").strip()
            if above and not above.startswith("sep="):
                reading.unread["lines above the header"] += 1
        if dialect.has_header:
            header = _header(lines, dialect)
            if header:
                yield f"{path}:1", None, [("file_malformed", f"CSV: {header}")]
                return
        records = _quoted(lines, dialect) if dialect.quoted else _plain(lines, dialect)
        packed = is_packed(path)
        for index, (number, fields, findings) in enumerate(records):
            if index == 0 and dialect.has_header and _RULE.fullmatch(lines.raw):
                continue
            where = f"{path}:{number}"
            if findings:
                yield where, None, findings
            elif fields:
                yield where, *_row(fields, dialect, lines, reading, packed)


def _header(lines: "_Lines", dialect: Dialect) -> str:
    """Takes the header's line; what is wrong with it, or nothing."""
    text = next(lines, "")
    while not text.strip() and text:
        text = next(lines, "")
    try:
        next(csv.reader([text], delimiter=dialect.delimiter, strict=True), [])
    except csv.Error as error:
        return str(error)
    return ""


def _row(
    fields: list[str], dialect: Dialect, lines: "_Lines", reading: Reading, packed: bool
) -> tuple[Any, Findings]:
    findings: Findings = []
    fields = _fitted(fields, dialect, lines.raw, findings)
    if dialect.quoted and dialect.all_quoted == "'" != dialect.quotes.mark:
        fields = [*fields[:-1], _unquoted(fields[-1], dialect)]  # apostrophes inside, not doubled
    if len(fields) != len(dialect.columns):
        what = "header" if dialect.has_header else "first lines"
        findings.append(
            ("row_malformed", f"{len(fields)} fields, and the {what} say {len(dialect.columns)}")
        )
        return None, findings
    row: dict[str, Any] = {
        key: value
        for key, value in zip(dialect.columns, fields, strict=True)
        if key and value != ""
    }
    if any(_IMAGE_LINE.search(value) for value in row.values() if "\n" in value):
        findings.append(("row_malformed", "a quote that is not closed runs on into the next rows"))
        return None, findings
    if "caption" in dialect.columns and "caption" not in row:
        row["caption"] = ""
    for key in () if dialect.has_header else ("image", "image_id"):
        if key in row:
            row[key] = _NUMBER.sub("", row[key].strip())
    if any(len(value) > 59 for key, value in row.items() if key not in ("caption", "text")):
        raw = lines.raw.encode("utf-8", "surrogateescape")
        embed(row, raw, -1 if packed else lines.start, reading.uri, reading.columns)
    if dialect.columns[:2] == ("uniq_id", "image_id") and "&&" in row["caption"]:
        row["captions"] = row.pop("caption").split("&&")
    return row, findings


def _fitted(fields: list[str], dialect: Dialect, raw: str, findings: Findings) -> list[str]:
    """The cells of a row that has too many or too few, where there is one way to read it."""
    width = len(dialect.columns)
    if len(fields) > width and not any(fields[width:]):
        return fields[:width]  # delimiters at the end of every line
    if len(fields) > width and dialect.caption_is_last and dialect.quotes.mark not in raw:
        rest = dialect.delimiter.join(fields[width - 1 :])
        return [*fields[: width - 1], rest]
    if len(fields) == 2 and width == 3 and dialect.delimiter == "|":
        match = _BROKEN_PIPE.fullmatch(fields[1])
        if match:
            findings.append(("row_repaired", f"a vertical bar is missing: {raw.strip()[:100]}"))
            return [fields[0], fields[1][: match.start(1)].strip(), match[1]]
    return fields


def _quoted(lines: "_Lines", dialect: Dialect) -> Iterator[tuple[int, list[str], Findings]]:
    """Records by CSV's rules: line number, cells, and what is wrong."""
    reader = dialect.quotes.reader(lines, dialect.delimiter)
    while True:
        lines.begin()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            code = "file_truncated" if "unexpected end" in str(error) else "row_malformed"
            yield lines.first, [], [(code, f"CSV: {error}")]
            continue
        yield lines.first, fields, []


def _plain(lines: "_Lines", dialect: Dialect) -> Iterator[tuple[int, list[str], Findings]]:
    """Records of one line each; a quoted cell may go on over lines where the cells then fit."""
    while True:
        lines.begin()
        line = next(lines, "")
        if not line:
            return
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        if dialect.trailing:
            text = text.rstrip().removesuffix(dialect.trailing)
        width = len(dialect.columns)
        number = lines.number
        fields = text.split(dialect.delimiter)
        is_csv = len(fields) != width and '"' in text and len(dialect.delimiter) == 1
        as_csv = _as_csv(text, lines, dialect) if is_csv else []
        if not as_csv and len(fields) > width and dialect.caption_is_last:
            fields = text.split(dialect.delimiter, width - 1)
        yield number, as_csv or [_unquoted(field, dialect) for field in fields], []


def _as_csv(text: str, lines: "_Lines", dialect: Dialect) -> list[str]:
    """A line read by CSV's rules, with as many lines after it as its quotes need."""
    taken: list[str] = []
    for _ in range(_MAX_LINES):
        with suppress(csv.Error):
            fields = next(csv.reader([text], delimiter=dialect.delimiter, strict=True))
            if len(fields) == len(dialect.columns):
                return fields
            break
        more = next(lines, "")
        if not more:
            break
        taken.append(more)
        text += "\n" + more.rstrip("\r\n")
    lines.put_back(taken)
    return []


def _unquoted(field: str, dialect: Dialect) -> str:
    """A cell without CSV's quotes, where they show to be such: doubled inside, or on every text."""
    plain, mark = field.strip(), dialect.all_quoted or '"'
    if len(plain) < 2 or plain[0] != mark or plain[-1] != mark:
        return field.strip() if dialect.delimiter == "|" else field
    inner = plain[1:-1]
    if mark == "'":
        return inner.replace("''", "'")
    doubled = inner.replace('""', "")
    if '"' in doubled or (inner == doubled and not dialect.all_quoted):
        return plain
    return inner.replace('""', '"')


class _Lines:
    """The lines of a file, and the bytes and the place of those since the last record began."""

    def __init__(self, file: IO[str], mark_bytes: int) -> None:
        self._file, self._waiting = file, deque[str]()
        self.number, self.start, self.raw = 0, 0, ""
        self.first = 1
        self._end = mark_bytes

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._waiting.popleft() if self._waiting else self._file.readline(MAX_FIELD_CHARS)
        if not line:
            raise StopIteration
        self.number += 1
        self.raw += line
        self._end += len(line) if line.isascii() else len(line.encode("utf-8", "surrogateescape"))
        return line

    def begin(self) -> None:
        """Marks the beginning of a record."""
        self.start, self.raw, self.first = self._end, "", self.number + 1

    def put_back(self, lines: list[str]) -> None:
        """Gives back lines that belong to the next records."""
        self._waiting.extendleft(reversed(lines))
        taken = "".join(lines)
        self.number -= len(lines)
        self._end -= len(taken.encode("utf-8", "surrogateescape"))
        self.raw = self.raw[: len(self.raw) - len(taken)]
