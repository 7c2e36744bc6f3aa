"""COCO caption JSON: ``{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}``.

The split is the file's (``captions_train2017.json``), an image's own ``split``, or none.
"""

from collections.abc import Iterator
from typing import Any

from dico.data.entries import Entry, normal_split
from dico.data.formats.texts import open_text
from dico.data.grouping import Grouping, Joined
from dico.data.strict_json import JsonFinding, Parser, iter_items
from dico.storage.uris import PictureFinder


def read(path: str, split: str, pictures: PictureFinder) -> Iterator[Entry]:
    """The images of a COCO JSON file with their captions, joined in bounded memory."""
    parser = Parser()
    with Grouping() as grouping:
        try:
            for key, item in iter_items(lambda: open_text(path), parser):
                duplicates = [("json_duplicate_key", name) for name in parser.take_duplicate_keys()]
                if key == "images":
                    yield from _add_image(grouping, item, duplicates, path)
                elif key == "annotations":
                    yield from _add_caption(grouping, item, duplicates, path)
        except JsonFinding as error:
            yield Entry("", "", [], "", path, [("file_malformed", str(error))])
        for joined in grouping.joined():
            yield from _entries(joined, path, split, pictures)


def _entries(joined: Joined, path: str, split: str, pictures: PictureFinder) -> Iterator[Entry]:
    where = f"{path}, image {joined.key}"
    if not joined.images:
        detail = f"captions of image id {joined.key}, which is not among the images"
        findings = [*joined.findings, ("image_unknown_id", detail)]
        yield Entry(joined.key, "", joined.captions, "", where, findings)
    for image in joined.images:
        findings = list(joined.findings)
        own = normal_split(image["split"], findings)
        uri = pictures.find(image["file_name"])
        yield Entry(joined.key, uri, list(joined.captions), own or split, where, findings)


def _add_image(
    grouping: Grouping, item: Any, findings: list[tuple[str, str]], path: str
) -> Iterator[Entry]:
    good = isinstance(item, dict) and isinstance(item.get("file_name"), str) and item["file_name"]
    if not good or not isinstance(item.get("id"), int | str):
        detail = f"an image without id or file_name: {item!r}"[:200]
        yield Entry("", "", [], "", path, [("row_malformed", detail)])
    else:
        kept = {"file_name": item["file_name"], "split": item.get("split")}
        grouping.add_image(str(item["id"]), kept, findings)


def _add_caption(
    grouping: Grouping, item: Any, findings: list[tuple[str, str]], path: str
) -> Iterator[Entry]:
    if not isinstance(item, dict) or not isinstance(item.get("image_id"), int | str):
        detail = f"an annotation without image_id: {item!r}"[:200]
        yield Entry("", "", [], "", path, [("row_malformed", detail)])
    elif "caption" in item:
        grouping.add_caption(str(item["image_id"]), item["caption"], findings)
    else:
        detail = "an annotation without caption (an instances file is no caption file)"
        yield Entry(str(item["image_id"]), "", [], "", path, [("row_malformed", detail)])
