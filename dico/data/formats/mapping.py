"""A JSON object from images to captions: ``{"0001.jpg": ["a dog", "a brown dog"]}``.

The keys are file names or ids; a value is a list of captions or one.
"""

from collections.abc import Iterator
from typing import Any

from dico.data.entries import Entry
from dico.data.formats.captions_of import items_of
from dico.data.formats.reading import Findings, Reading
from dico.data.formats.texts import open_text
from dico.data.strict_json import JsonFinding, Parser, iter_items
from dico.storage.uris import is_image_name


def read(path: str, reading: Reading) -> Iterator[Entry]:
    """The images of such a file, streamed."""
    parser = Parser()
    try:
        for key, value in iter_items(lambda: open_text(path), parser, whole=True):
            yield _entry(key, value, f"{path}, {key!r}"[:300], parser, reading)
    except JsonFinding as error:
        yield Entry("", "", [], "", path, [("file_malformed", str(error))])


def _entry(key: str, value: Any, where: str, parser: Parser, reading: Reading) -> Entry:
    findings: Findings = [("json_duplicate_key", name) for name in parser.take_duplicate_keys()]
    entry = Entry(key, "", [], "", where, findings, names={"image": key})
    entry.captions = items_of(value, findings, entry.left_out)
    if is_image_name(key):
        entry.uri = reading.images.find([key], findings, reading.split)
    else:
        entry.uri = reading.images.find_id(key, findings, reading.split)
    if not entry.uri and not reading.captions_only:
        findings.append(("row_malformed", f"no image is called {key}"))
    return entry
