"""COCO caption JSON: ``{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}``.

An annotation that its dataset marks as rejected or pre-canned, as VizWiz does, is left out.
The split is the file's (``captions_train2017.json``), an image's own ``split``, or none.
"""

from collections.abc import Iterator
from typing import Any

from dico.data.entries import Entry, normal_split
from dico.data.formats.captions_of import LeftOut, items_of
from dico.data.formats.columns import first, is_rejected
from dico.data.formats.reading import Reading
from dico.data.formats.texts import open_text
from dico.data.grouping import Grouping, Joined
from dico.data.strict_json import JsonFinding, Parser, iter_items

_CAPTION_KEYS = ("caption", "captions")


def read(path: str, reading: Reading) -> Iterator[Entry]:
    """The images of a COCO JSON file with their captions, joined in bounded memory."""
    parser, has_images = Parser(), False
    with Grouping() as grouping:
        try:
            for key, item in iter_items(lambda: open_text(path), parser):
                duplicates = [("json_duplicate_key", name) for name in parser.take_duplicate_keys()]
                has_images = has_images or key == "images"
                if key == "images":
                    yield from _add_image(grouping, item, duplicates, path)
                elif key == "annotations":
                    yield from _add_caption(grouping, item, duplicates, path)
        except JsonFinding as error:
            yield Entry("", "", [], "", path, [("file_malformed", str(error))])
        for joined in grouping.joined():
            if not has_images and (uri := reading.images.find_id(joined.key, [], reading.split)):
                joined.images = [{"file_name": uri, "split": None, "rejected": False}]
            yield from _entries(joined, path, reading)


def _entries(joined: Joined, path: str, reading: Reading) -> Iterator[Entry]:
    where = f"{path}, image {joined.key}"
    marked = any(image["rejected"] for image in joined.images)
    captions = [text for text, mark in joined.captions if not (mark or marked)]
    left_out = [("caption_rejected", text) for text, mark in joined.captions if mark or marked]
    if not joined.images:
        detail = f"captions of image id {joined.key}, which is not among the images"
        findings = [*joined.findings, ("image_unknown_id", detail)]
        yield Entry(joined.key, "", captions, "", where, findings, left_out=left_out)
    for index, image in enumerate(joined.images):
        findings = list(joined.findings)
        own = normal_split(image["split"], findings)
        name = image["file_name"]
        split = own or reading.split
        if name:
            uri = reading.images.find([name], findings, split)
        else:
            uri = reading.images.find_id(joined.key, findings, split)
            if not uri and not reading.captions_only:
                findings.append(
                    ("row_malformed", f"no file_name, and no image is called {joined.key}")
                )
        entry = Entry(joined.key, uri, list(captions), own or reading.split, where, findings)
        entry.names = {"id": joined.key, **({"file_name": name} if name else {})}
        entry.left_out = list(left_out)
        if index:  # a repeated image has no captions of its own: they are counted once
            entry.captions, entry.left_out = [], []
            entry.findings.append(("id_duplicate", f"image id {joined.key} is given twice"))
        yield entry


def _add_image(
    grouping: Grouping,
    item: Any,
    findings: list[tuple[str, str]],
    path: str,
) -> Iterator[Entry]:
    if not isinstance(item, dict) or not isinstance(item.get("id"), int | str):
        yield Entry(
            "", "", [], "", path, [("row_malformed", f"an image without id: {item!r}"[:200])]
        )
    else:
        kept = {
            "file_name": _file_name(item),
            "split": item.get("split"),
            "rejected": bool(is_rejected(item)),
        }
        _add_captions(grouping, str(item["id"]), first(item, _CAPTION_KEYS), False, [])
        grouping.add_image(str(item["id"]), kept, findings)


def _file_name(image: dict[str, Any]) -> str:
    """An image's file name, or the end of its address on COCO's own server; empty for neither."""
    name, address = image.get("file_name"), image.get("coco_url")
    if not name and isinstance(address, str):
        return "/".join(address.rsplit("/", 2)[-2:])
    return name if isinstance(name, str) else ""


def _add_caption(
    grouping: Grouping, item: Any, findings: list[tuple[str, str]], path: str
) -> Iterator[Entry]:
    if not isinstance(item, dict) or not isinstance(item.get("image_id"), int | str):
        detail = f"an annotation without image_id: {item!r}"[:200]
        yield Entry("", "", [], "", path, [("row_malformed", detail)])
    elif not item.keys().isdisjoint(_CAPTION_KEYS):
        said = first(item, _CAPTION_KEYS)
        given = [None] if said is None else said
        _add_captions(grouping, str(item["image_id"]), given, bool(is_rejected(item)), findings)
    else:
        detail = "an annotation without caption (an instances file is no caption file)"
        yield Entry(str(item["image_id"]), "", [], "", path, [("row_malformed", detail)])


def _add_captions(
    grouping: Grouping, key: str, said: Any, mark: bool, findings: list[tuple[str, str]]
) -> None:
    """Adds the captions in a value, each with whether it is marked as unusable."""
    if said is None:
        return
    left_out: LeftOut = []
    captions = [(caption, mark) for caption in items_of(said, findings, left_out)]
    captions += [(caption, True) for _, caption in left_out]
    for index, caption in enumerate(captions):
        grouping.add_caption(key, caption, [] if index else findings)
    if not captions and findings:
        grouping.add_caption(key, (None, False), findings)
