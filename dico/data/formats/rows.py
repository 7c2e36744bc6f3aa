"""Rows of a table as pictures: JSONL, a JSON list, CSV, TSV and Parquet share this reading.

A row has a picture (``image``), a caption or captions (``caption``, ``captions``) and optionally
``split``, ``id``, ``positive_images``, ``positive_captions``. Rows with one caption each are joined
by picture; rows with a list of captions stand for themselves.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from dico.data.entries import Entry, normal_split
from dico.data.grouping import Grouping, Joined
from dico.storage.uris import PictureFinder

IMAGE_KEYS = (
    "image",
    "file_name",
    "filename",
    "filepath",
    "image_path",
    "path",
    "img",
    "uri",
    "url",
)
CAPTION_KEYS = ("caption", "text", "sentence", "raw", "comment", "title")
CAPTIONS_KEYS = ("captions", "sentences", "texts", "references")
ID_KEYS = ("id", "image_id", "cocoid", "imgid")
Row = tuple[str, Any, list[tuple[str, str]]]


def read(rows: Iterator[Row], pictures: PictureFinder) -> Iterator[Entry]:
    """Entries of rows given as (where, content, findings of their reader)."""
    with Grouping() as grouping:
        for where, row, findings in rows:
            entry = _entry(where, row, findings, pictures)
            if _has_single_caption(row) and entry.uri:
                _group(grouping, entry)
            else:
                yield entry
        for joined in grouping.joined():
            yield _joined(joined)


def first(row: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """The value of the first of ``keys`` that the row has."""
    return next((row[key] for key in keys if row.get(key) is not None), None)


def _has_single_caption(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and first(row, CAPTIONS_KEYS) is None
        and not isinstance(first(row, CAPTION_KEYS), list)
    )


def _entry(where: str, row: Any, findings: list[tuple[str, str]], pictures: PictureFinder) -> Entry:
    if row is None and findings:
        return Entry("", "", [], "", where, findings)
    if not isinstance(row, dict):
        return Entry("", "", [], "", where, [("row_malformed", f"not an object: {row!r}"[:200])])
    name = first(row, IMAGE_KEYS)
    if not isinstance(name, str) or not name.strip():
        detail = f"no picture: none of {', '.join(IMAGE_KEYS)} is a text"
        return Entry("", "", [], "", where, [*findings, ("row_malformed", detail)])
    captions = first(row, CAPTIONS_KEYS)
    if captions is None:
        captions = first(row, CAPTION_KEYS)
    captions = [] if captions is None else captions if isinstance(captions, list) else [captions]
    captions = [c.get("raw") if isinstance(c, dict) else c for c in captions]
    image_id = first(row, ID_KEYS)
    return Entry(
        image_id=name if image_id is None else str(image_id),
        uri=pictures.find(name),
        captions=captions,
        split=normal_split(row.get("split"), findings),
        where=where,
        findings=findings,
        positive_uris=[pictures.find(p) for p in _texts(row, "positive_images", findings)],
        positive_captions=_texts(row, "positive_captions", findings),
    )


def _texts(row: Mapping[str, Any], key: str, findings: list[tuple[str, str]]) -> list[str]:
    values = row.get(key)
    if values is None:
        return []
    if isinstance(values, list) and all(isinstance(v, str) for v in values):
        return values
    findings.append(("positives_malformed", f"{key} is not a list of texts"))
    return []


def _group(grouping: Grouping, entry: Entry) -> None:
    kept = {
        "image_id": entry.image_id,
        "uri": entry.uri,
        "split": entry.split,
        "where": entry.where,
        "positive_uris": entry.positive_uris,
        "positive_captions": entry.positive_captions,
    }
    grouping.add_image(entry.uri, kept, entry.findings)
    for caption in entry.captions:
        grouping.add_caption(entry.uri, caption, [])


def _joined(joined: Joined) -> Entry:
    """One picture of several rows; rows that disagree on its id or split are a finding."""
    image, findings = joined.images[0], joined.findings
    for key, code in (("image_id", "image_two_ids"), ("split", "split_conflict")):
        values = sorted({str(row[key]) for row in joined.images})
        if len(values) > 1:
            findings.append((code, f"rows of one picture say {', '.join(values)}"[:200]))
    return Entry(captions=joined.captions, findings=findings, **image)
