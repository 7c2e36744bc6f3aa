"""Images inside a page: small copies as data URIs."""

import base64
import io

from PIL import Image

PIXEL_ART_PX = 128
"""Images up to this side are kept as they are, since scaling would blur their pixels."""
QUALITY = 82
"""Of the JPEG."""


def thumbnail(image: Image.Image, side_px: int) -> str:
    """A JPEG of at most ``side_px`` on its longer side; a PNG of the image itself if it is tiny."""
    tiny = max(image.size) <= PIXEL_ART_PX
    buffer = io.BytesIO()
    if tiny:
        image.save(buffer, "PNG")
    else:
        small = image.copy()
        small.thumbnail((side_px, side_px))
        small.save(buffer, "JPEG", quality=QUALITY)
    kind = "png" if tiny else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def is_tiny(image: Image.Image) -> bool:
    """Whether `thumbnail` keeps the image's own pixels, which a page then shows enlarged."""
    return max(image.size) <= PIXEL_ART_PX
