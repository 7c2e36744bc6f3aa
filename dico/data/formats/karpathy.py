"""Karpathy's JSON: ``{"images": [{"filename", "filepath"?, "split", "sentences": [{"raw"}]}]}``."""

from collections.abc import Iterator
from typing import Any

from dico.data.entries import Entry, normal_split
from dico.data.formats.texts import open_text
from dico.data.strict_json import JsonFinding, Parser, iter_items
from dico.storage.uris import PictureFinder

ID_KEYS = ("cocoid", "id", "imgid")


def read(path: str, pictures: PictureFinder) -> Iterator[Entry]:
    """The pictures of a Karpathy JSON file, streamed."""
    parser, index = Parser(), 0
    try:
        for key, item in iter_items(lambda: open_text(path), parser):
            duplicates = parser.take_duplicate_keys()
            if key != "images":
                continue
            entry = _entry(item, f"{path}, images[{index}]", pictures)
            entry.findings += [("json_duplicate_key", name) for name in duplicates]
            index += 1
            yield entry
    except JsonFinding as error:
        yield Entry("", "", [], "", path, [("file_malformed", f"{error} after {index} images")])


def _entry(item: Any, where: str, pictures: PictureFinder) -> Entry:
    if not isinstance(item, dict):
        return Entry("", "", [], "", where, [("row_malformed", f"not an object: {item!r}"[:200])])
    name = item.get("filename")
    if not isinstance(name, str) or not name:
        return Entry("", "", [], "", where, [("row_malformed", "no filename")])
    findings: list[tuple[str, str]] = []
    sentences = item.get("sentences")
    if not isinstance(sentences, list):
        sentences = []
    captions = [s.get("raw") if isinstance(s, dict) else s for s in sentences]
    folder = item.get("filepath")
    names = (f"{folder}/{name}", name) if isinstance(folder, str) and folder else (name,)
    image_id = next((str(item[k]) for k in ID_KEYS if item.get(k) is not None), name)
    split = normal_split(item.get("split"), findings)
    return Entry(image_id, pictures.find(*names), captions, split, where, findings)
