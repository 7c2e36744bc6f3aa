"""Images inside other files: tars, Arrow and Parquet tables, base64 in lines of text.

``FILE#OFFSET+BYTES:NAME`` names one by its place, and a ranged read fetches it; in text files the
bytes are base64. Parquet compresses its columns, so there ``FILE.parquet#GROUP+ROW:COLUMN`` names
the row of a row group.
"""

import os
import re

from dico.images.base64_text import bare_base64, from_base64
from dico.images.errors import ImageError
from dico.storage import open_store, split_uri
from dico.storage.uris import is_remote

_URI = re.compile(
    r"(?P<file>.+?\.(?P<kind>tar|arrow|parquet|tsv|csv|txt|jsonl|ndjson|json))"
    r"#(?P<first>\d+)\+(?P<second>\d+)(?::(?P<name>.*))?",
    re.DOTALL,
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]+=*\s*")
_BEGINNINGS = ("/9j/", "_9j_", "iVBORw0KGgo", "R0lGOD", "UklGR", "SUkqA", "TU0AK")
LEAST_CHARS = 60
"""Shorter texts are names; nothing that short is an image."""


def is_embedded_uri(uri: str) -> bool:
    """Whether a URI names an image inside of another file."""
    return "#" in uri and _URI.fullmatch(uri) is not None


def embedded_uri(file: str, first: int, second: int, name: str) -> str:
    """The URI of an image by its offset and size, or in Parquet by its row group and row."""
    return f"{file}#{first}+{second}:{name}"


def container_of(uri: str) -> tuple[str, str]:
    """The file around an embedded image, and its place in there."""
    match = _URI.fullmatch(uri)
    return (uri, "") if match is None else (match["file"], uri.removeprefix(f"{match['file']}#"))


def read_embedded(uri: str) -> bytes:
    """The bytes of an embedded image's file, by one ranged read where that is possible.

    Raises:
        ImageError: not such a URI, no image there, or the file is shorter than it says.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise ImageError("image_missing", f"{uri}: not FILE#OFFSET+BYTES:NAME")
    first, second = int(match["first"]), int(match["second"])
    if match["kind"] == "parquet":
        from dico.images.parquet import read_cell

        return read_cell(match["file"], first, second, match["name"] or "image.bytes")
    data = _read_range(match["file"], first, second)
    if len(data) != second:
        raise ImageError("image_truncated", f"{uri}: the file ends before the image does")
    if match["kind"] == "tar" or (match["kind"] == "arrow" and not _is_base64(data)):
        return data
    return from_base64(data.decode("latin-1"), uri)


def looks_embedded(text: str) -> bool:
    """Whether a text is an image in base64 and not a name: by its first bytes, or long."""
    if len(bare_base64(text)) < len(text):
        return True
    if len(text) < (LEAST_CHARS if text.startswith(_BEGINNINGS) else 200):
        return False
    head = text[:400]
    return "." not in head and _BASE64.fullmatch(head) is not None


def _is_base64(data: bytes) -> bool:
    """Whether a column's bytes are a text: no image's own bytes are letters and digits alone."""
    return looks_embedded(data[:400].decode("latin-1"))


def _read_range(file: str, offset: int, num_bytes: int) -> bytes:
    if is_remote(file):
        store, key = split_uri(file)
        return open_store(store).read_range(key, offset, num_bytes)
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise ImageError("image_missing", f"{file}: {error.strerror}") from None
    try:
        return os.pread(descriptor, num_bytes, offset)
    finally:
        os.close(descriptor)
