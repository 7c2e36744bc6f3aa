"""Images in base64 within a line of text, named by the place of their bytes."""

import json
from typing import Any

from dico.data.formats.columns import IMAGE_KEYS, Columns, normal_key
from dico.data.formats.reading import Embedded
from dico.images.base64_text import from_base64
from dico.images.embedded import (
    LEAST_CHARS,
    embedded_uri,
    looks_embedded,
    strip_data_uri,
)
from dico.images.errors import ImageError


def embed(row: dict[str, Any], raw: bytes, offset: int, uri: str, columns: Columns) -> None:
    """Replaces base64 in a row's image columns by a reference to it.

    Args:
        row: a row as it was parsed.
        raw: the bytes of its line or lines.
        offset: where they begin in the file; negative where the file cannot be read by ranges.
        uri: the file.
        columns: the user's columns.
    """
    for key, value in row.items():
        if isinstance(value, dict):
            text = value.get("bytes") or value.get("base64") or value.get("b64")
        else:
            text = value
        if not isinstance(text, str) or len(text) < LEAST_CHARS:
            continue
        if key != columns.image and normal_key(key) not in IMAGE_KEYS:
            continue
        if looks_embedded(text):
            name = value.get("path") if isinstance(value, dict) else ""
            row[key] = _reference(text, raw, offset, uri, str(name or ""))


def _reference(text: str, raw: bytes, offset: int, uri: str, name: str) -> Embedded:
    if offset < 0:
        problem = (
            "an image in base64 in a packed file or a JSON list: unpack it, or write JSON lines"
        )
        return Embedded(uri, None, name, problem)
    plain = strip_data_uri(text)
    for written in (plain, json.dumps(plain)[1:-1], plain.replace("/", "\\/")):
        data = written.encode("utf-8", "surrogateescape")
        at = raw.find(data)
        if at >= 0:
            place = embedded_uri(uri, offset + at, len(data), name)
            try:
                return Embedded(place, from_base64(data, place), name)
            except ImageError as error:
                return Embedded(place, None, name, str(error))
    return Embedded(uri, None, name, "an image in base64 that is written with escapes")
