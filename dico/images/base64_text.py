"""Images as texts in base64, as they lie in tables and requests."""

import base64
import binascii
import re

from dico.images.errors import ImageError

_BEFORE = re.compile(  # a data URI's beginning, or that of bytes as Python shows them
    r"data:[\w.+/-]*(?:;[\w=.+-]+)*;base64,|b['\"](?=[A-Za-z0-9+/_-]{50})", re.IGNORECASE
)
_NOT_BASE64 = re.compile(rb"\\[nrt]|\\/|\s")


def bare_base64(text: str) -> str:
    """The base64 of a ``data:image/jpeg;base64,...`` URI or of Python's ``b'...'``; others as they are."""
    match = _BEFORE.match(text)
    return text[match.end() :] if match else text


def from_base64(text: str, where: str) -> bytes:
    """The image in base64, in either alphabet, wrapped or not, with or without padding, as a data URI.

    Raises:
        ImageError: it is not base64.
    """
    data = bare_base64(text).encode("ascii", "replace")
    data = _NOT_BASE64.sub(lambda m: b"/" if m[0] == b"\\/" else b"", data)
    data = data.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"='\"")
    try:
        return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ImageError("image_damaged", f"{where[:200]}: not an image in base64") from None
