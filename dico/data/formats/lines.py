"""JSON lines, and a JSON list of the same objects.

The list may also be under a key such as TextCaps' ``data``, or there is one under each split's name.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from dico.data.entries import SPLIT_NAMES
from dico.data.formats.columns import IMAGE_KEYS, TURN_KEYS
from dico.data.formats.inline import embed
from dico.data.formats.reading import Reading, Row
from dico.data.formats.texts import byte_order_mark, is_packed, open_text
from dico.data.strict_json import JsonFinding, Parser, iter_items
from dico.images.embedded import LEAST_CHARS

MAX_LINE_CHARS = 32_000_000
LIST_KEYS = ("data", "annotations", "rows", "samples", "items")
RESULT_KEYS = ("results", "predictions")
"""Keys under which evaluation scripts put their list of rows."""
_READ_KEYS = (*LIST_KEYS, *RESULT_KEYS, "images")
_LISTS_OF_IMAGES = frozenset((*IMAGE_KEYS, *TURN_KEYS, "images"))


def read_lines(path: str, reading: Reading) -> Iterator[Row]:
    """Rows of a JSONL file; a line that is not JSON becomes a finding of its own."""
    parser = Parser()
    packed, end = is_packed(path), byte_order_mark(path)
    with open_text(path) as file:
        number = 0
        while line := file.readline(MAX_LINE_CHARS):
            number += 1
            start = end
            end += len(line) if line.isascii() else len(line.encode("utf-8", "surrogateescape"))
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                row = parser.parse(line)
            except JsonFinding as error:
                last = not line.endswith("\n") and error.code == "json_malformed"
                code = "file_truncated" if last else error.code
                yield where, None, [(code, str(error))]
                continue
            if isinstance(row, dict) and len(line) > LEAST_CHARS:
                _embed(row, line, -1 if packed else start, reading)
            if (by_column := _rows_of_columns(row)) is not None:
                yield from ((f"{where}, row {key}", one, []) for key, one in by_column)
                continue
            yield where, row, _duplicates(parser)


def _rows_of_columns(row: Any) -> list[tuple[str, dict[str, Any]]] | None:
    """The rows of an object of columns, as pandas' ``to_json`` writes a table; None for any other."""
    if not isinstance(row, dict) or not all(isinstance(cells, dict) for cells in row.values()):
        return None
    keys = [tuple(cells) for cells in row.values()]
    if len(row) < 2 or len(set(keys)) > 1 or not all(key.isdigit() for key in keys[0]):
        return None
    return [(key, {name: cells[key] for name, cells in row.items()}) for key in keys[0]]


def read_list(path: str, reading: Reading) -> Iterator[Row]:
    """Rows of a JSON file whose top level is a list, or an object around one."""
    parser, index = Parser(), 0
    names: list[str] = []
    columns: dict[str, list[Any]] = {}
    try:
        for key, item in iter_items(lambda: open_text(path), parser):
            split = SPLIT_NAMES.get(key.lower(), "") if key else ""
            if key == "columns" and isinstance(item, str):
                names.append(item)  # as pandas' to_json(orient="split") writes them
            if isinstance(item, list) and len(item) == len(names):
                item = dict(zip(names, item, strict=True))
            if key and not split and key not in _READ_KEYS:
                if isinstance(item, dict):
                    reading.unread[f"list {key}"] += 1
                columns.setdefault(key, []).append(item)
                continue
            if isinstance(item, dict):
                _embed(item, "", -1, reading)
                item = {"split": split, **item} if split else item
            yield f"{path}, item {index}", item, _duplicates(parser)
            index += 1
    except JsonFinding as error:
        yield path, None, [("file_malformed", f"{error} after {index} items")]
        return
    if not index and not names and any(len(cells) > 1 for cells in columns.values()):
        yield from _zipped(columns, path)


def _zipped(columns: dict[str, list[Any]], path: str) -> Iterator[Row]:
    """The rows of columns that are lists; a list of another length is a finding."""
    cells = equal_columns(columns)
    if len(cells) < len(columns):
        lengths = ", ".join(f"{name} {len(found)}" for name, found in columns.items())
        yield path, None, [("file_malformed", f"columns of different lengths: {lengths}"[:300])]
        return
    for index, row in enumerate(zip(*cells.values(), strict=True)):
        yield f"{path}, item {index}", dict(zip(cells, row, strict=True)), []


def equal_columns(content: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The lists of an object, where each value is one and all are of one length above 1."""
    lists = {key: value for key, value in content.items() if isinstance(value, list)}
    lengths = {len(value) for value in lists.values()}
    return (
        lists
        if len(lists) == len(content) and len(lengths) == 1 and lengths.isdisjoint({0, 1})
        else {}
    )


def _embed(row: dict[str, object], line: str, start: int, reading: Reading) -> None:
    if any(_may_hold_an_image(key, value) for key, value in row.items()):
        raw = line.encode("utf-8", "surrogateescape")
        embed(row, raw, start, reading.uri, reading.columns)


def _may_hold_an_image(key: str, value: object) -> bool:
    if isinstance(value, list):
        return key in _LISTS_OF_IMAGES
    return isinstance(value, dict) or (isinstance(value, str) and len(value) >= LEAST_CHARS)


def _duplicates(parser: Parser) -> list[tuple[str, str]]:
    return [("json_duplicate_key", key) for key in parser.take_duplicate_keys()]
