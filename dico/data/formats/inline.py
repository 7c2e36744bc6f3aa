"""Images in base64 within a line of text, named by the place of their bytes."""

import json
from typing import Any

from dico.data.formats.captions_of import image_in_turns
from dico.data.formats.columns import IMAGE_KEYS, TURN_KEYS, Columns, first, normal_key
from dico.data.formats.reading import Embedded
from dico.images.base64_text import bare_base64, from_base64
from dico.images.embedded import (
    LEAST_CHARS,
    embedded_uri,
    looks_embedded,
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
    if in_turns := image_in_turns(first(row, sorted(TURN_KEYS))):
        row.setdefault("images", in_turns)
    for key, value in row.items():
        one = value[0] if isinstance(value, list) and len(value) == 1 else value
        is_object = isinstance(one, dict)
        text = first(one, ("bytes", "base64", "b64", "url")) if is_object else one
        if not isinstance(text, str) or len(text) < LEAST_CHARS:
            continue
        if key != columns.image and normal_key(key) not in (*IMAGE_KEYS, "images"):
            continue
        if looks_embedded(text):
            name = one.get("path") if is_object else ""
            row[key] = _reference(text, raw, offset, uri, str(name or ""))


def _reference(text: str, raw: bytes, offset: int, uri: str, name: str) -> Embedded:
    if offset < 0:
        problem = (
            "an image in base64 in a packed file or a JSON list: unpack it, or write JSON lines"
        )
        return Embedded(uri, None, name, problem)
    plain = bare_base64(text)
    for written in (plain, json.dumps(plain)[1:-1], plain.replace("/", "\\/")):
        data = written.encode("utf-8", "surrogateescape")
        at = raw.find(data)
        if at >= 0:
            place = embedded_uri(uri, offset + at, len(data), name)
            try:
                return Embedded(place, from_base64(written, place), name)
            except ImageError as error:
                return Embedded(place, None, name, str(error))
    return Embedded(uri, None, name, "an image in base64 that is written with escapes")
