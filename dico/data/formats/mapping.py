"""A JSON object from images to captions: ``{"0001.jpg": ["a dog", "a brown dog"]}``.

The keys are file names or ids; a value is a list of captions or one, or a row that may name its
image itself, as pandas' ``to_json(orient="index")`` writes them, or a list of such rows by category.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from dico.data.entries import SPLIT_NAMES, Entry
from dico.data.formats import rows
from dico.data.formats.captions_of import items_of
from dico.data.formats.columns import Columns, known_columns
from dico.data.formats.reading import Findings, Reading, Row
from dico.data.formats.texts import open_text
from dico.data.strict_json import JsonFinding, Parser, iter_items
from dico.storage.uris import is_image_name


def read(path: str, reading: Reading) -> Iterator[Entry]:
    """The images of such a file, streamed."""
    parser = Parser()
    items = iter_items(lambda: open_text(path), parser, whole=True)
    try:
        begin = list(itertools.islice(items, 1))
    except JsonFinding as error:
        yield Entry("", "", [], "", path, [("file_malformed", str(error))])
        return
    found = _of_splits(itertools.chain(begin, items), reading.columns)
    try:
        begun = list(itertools.islice(found, 1))
        found = itertools.chain(begun, found)
        if begun and _is_rows(begun[0][2], reading.columns):
            yield from rows.read(_rows(found, path, parser, reading.columns), reading)
            return
        for split, key, value in found:
            where = f"{path}, {key!r}"[:300]
            yield _entry(key, value, where, split or reading.split, parser, reading)
    except JsonFinding as error:
        yield Entry("", "", [], "", path, [("file_malformed", str(error))])


def _of_splits(
    items: Iterable[tuple[str, Any]], columns: Columns
) -> Iterator[tuple[str, str, Any]]:
    """Split, key and value; an object under a split's name is one of images itself."""
    for key, value in items:
        split = SPLIT_NAMES.get(key.lower(), "") if isinstance(value, dict) else ""
        if split and not known_columns(value, columns)[1]:
            yield from ((split, name, one) for name, one in value.items())
        else:
            yield "", key, value


def _is_rows(value: Any, columns: Columns) -> bool:
    """Whether a value is a row with a caption, or a list of rows that name their images."""
    if isinstance(value, list):
        return bool(value) and all(
            isinstance(row, dict) and all(known_columns(row, columns)[:2]) for row in value
        )
    return isinstance(value, dict) and known_columns(value, columns)[1]


def _rows(
    items: Iterable[tuple[str, str, Any]], path: str, parser: Parser, columns: Columns
) -> Iterator[Row]:
    """The rows of all values; a key names its row's image, unless it is the row's number."""
    try:
        for split, key, value in items:
            where = f"{path}, {key!r}"[:300]
            findings = [("json_duplicate_key", name) for name in parser.take_duplicate_keys()]
            if isinstance(value, list):
                for number, row in enumerate(value):
                    yield f"{where}, item {number}", row, [] if number else findings
            elif isinstance(value, dict):
                name = "image" if is_image_name(key) else "id"
                is_number = key.isdigit() and known_columns(value, columns)[0]
                named = value if is_number else {name: key, **value}
                yield where, {"split": split, **named} if split else named, findings
            else:
                yield where, value, findings
    except JsonFinding as error:
        yield path, None, [("file_malformed", str(error))]


def _entry(key: str, value: Any, where: str, split: str, parser: Parser, reading: Reading) -> Entry:
    findings: Findings = [("json_duplicate_key", name) for name in parser.take_duplicate_keys()]
    entry = Entry(key, "", [], split, where, findings, names={"image": key})
    entry.captions = items_of(value, findings, entry.left_out)
    if is_image_name(key):
        entry.uri = reading.images.find([key], findings, split)
    else:
        entry.uri = reading.images.find_id(key, findings, split)
    if not entry.uri and not reading.captions_only:
        findings.append(("row_malformed", f"no image is called {key}"))
    return entry
