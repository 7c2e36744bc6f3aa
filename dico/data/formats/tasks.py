"""Rows as annotation tools export them: Label Studio's tasks, and Datumaro's items, which CVAT writes.

A task has its image under ``data`` and under ``annotations`` what each annotator wrote; an item has
an ``image`` and ``annotations`` of the type ``caption``. A cancelled annotation is marked as such, and
its captions are left out.
"""

import re
from collections.abc import Mapping
from typing import Any

from dico.data.formats.columns import ID_KEYS, IMAGE_KEYS, is_rejected, normal_keys
from dico.storage.uris import is_image_name

_UPLOADED = re.compile(r"/?data/(?:upload/\d+/|local-files/\?d=)")


def unwrap(row: dict[str, Any]) -> dict[str, Any]:
    """A task or an item as a plain row; any other row as it is."""
    annotations = row.get("annotations")
    if not isinstance(annotations, list) or not all(isinstance(a, dict) for a in annotations):
        return row
    data = row.get("data")
    if isinstance(data, Mapping):
        plain = {key: row[key] for key in ID_KEYS if key in row} | normal_keys(data)
        plain["image"] = _image(plain)
        captions = [one for annotation in annotations for one in _of_results(annotation)]
        return plain | {"captions": captions}
    captions = [one for one in annotations if "caption" in one]
    return {**row, "captions": captions} if captions and "captions" not in row else row


def _image(data: Mapping[str, Any]) -> Any:
    """What a task says of its image, without the prefix of Label Studio's own server."""
    named = [data[key] for key in IMAGE_KEYS if isinstance(data.get(key), str)]
    others = [v for v in data.values() if isinstance(v, str) and is_image_name(v)]
    return next((_UPLOADED.sub("", value, count=1) for value in (*named, *others)), None)


def _of_results(annotation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The texts of one annotation, each with whether the annotation was cancelled."""
    results = annotation.get("result")
    mark = bool(is_rejected(annotation))
    values = [one.get("value") for one in results or () if isinstance(one, dict)]
    texts = [value["text"] for value in values if isinstance(value, dict) and "text" in value]
    return [{"text": text, "is_rejected": mark} for text in texts]
