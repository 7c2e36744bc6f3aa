"""Karpathy's JSON: ``{"images": [{"filename", "filepath"?, "split", "sentences": [{"raw"}]}]}``."""

from collections.abc import Iterator
from typing import Any

from dico.data.entries import Entry, normal_split
from dico.data.formats.captions_of import items_of
from dico.data.formats.columns import is_rejected
from dico.data.formats.reading import Findings, Reading
from dico.data.formats.texts import open_text
from dico.data.strict_json import JsonFinding, Parser, iter_items

ID_KEYS = ("cocoid", "id", "imgid")


def read(path: str, reading: Reading) -> Iterator[Entry]:
    """The images of a Karpathy JSON file, streamed."""
    parser, index = Parser(), 0
    try:
        for key, item in iter_items(lambda: open_text(path), parser):
            duplicates = parser.take_duplicate_keys()
            if key != "images":
                continue
            entry = _entry(item, f"{path}, images[{index}]", reading)
            entry.findings += [("json_duplicate_key", name) for name in duplicates]
            index += 1
            yield entry
    except JsonFinding as error:
        yield Entry("", "", [], "", path, [("file_malformed", f"{error} after {index} images")])


def _entry(item: Any, where: str, reading: Reading) -> Entry:
    if not isinstance(item, dict):
        return Entry("", "", [], "", where, [("row_malformed", f"not an object: {item!r}"[:200])])
    name = item.get("filename")
    names = {key: str(item[key]) for key in ID_KEYS if item.get(key) is not None}
    image_id = next(iter(names.values()), name if isinstance(name, str) else "")
    findings: Findings = []
    entry = Entry(image_id, "", [], normal_split(item.get("split"), findings), where, findings)
    entry.names = names
    _add_captions(entry, item.get("sentences"))
    if is_rejected(item):
        entry.left_out += [("caption_rejected", caption) for caption in entry.captions]
        entry.captions = []
    if isinstance(name, str) and name:
        folder = item.get("filepath")
        told = [f"{folder}/{name}", name] if isinstance(folder, str) and folder else [name]
        entry.names |= {"filename": name, "filepath": told[0]}
        entry.uri = reading.images.find(told, findings, entry.split or reading.split)
    elif not reading.captions_only:
        findings.append(("row_malformed", "no filename"))
    return entry


def _add_captions(entry: Entry, sentences: Any) -> None:
    listed = sentences if isinstance(sentences, list) else []
    entry.captions = items_of(listed, entry.findings, entry.left_out)
