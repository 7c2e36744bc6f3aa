"""Images as texts in base64, as they lie in tables and requests."""

import base64
import binascii
import re

from dico.images.errors import ImageError

_NOT_BASE64 = re.compile(rb"\\[nrt]|\\/|\s")


def from_base64(data: bytes, where: str) -> bytes:
    """The image in base64, in either alphabet, wrapped or not, with or without padding.

    Raises:
        ImageError: it is not base64.
    """
    text = _NOT_BASE64.sub(lambda m: b"/" if m[0] == b"\\/" else b"", data)
    text = text.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ImageError("image_damaged", f"{where[:200]}: not an image in base64") from None
