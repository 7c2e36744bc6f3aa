"""Facts of an image for validation: digest, size, oddities, and a thumbnail for likeness."""

import hashlib
from dataclasses import dataclass
from typing import Any

from dico.images.limits import MAX_BYTES
from dico.images.load import check_num_bytes, load_image_bytes, open_image
from dico.images.near_duplicates import thumbnail


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What was found in one image; ``code`` is empty when it is usable."""

    code: str
    detail: str
    sha256: str = ""
    num_bytes: int = 0
    width_px: int = 0
    height_px: int = 0
    flags: tuple[str, ...] = ()
    thumbnail: bytes = b""


def inspect_image(
    data: bytes, where: str, max_pixels: int, max_bytes: int = MAX_BYTES
) -> tuple[dict[str, Any], bytes]:
    """Facts of an image's bytes, by the names of `ImageFacts`, and its thumbnail.

    Raises:
        ImageError: the bytes are no usable image; its code says why.
    """
    check_num_bytes(len(data), where, max_bytes)
    header = open_image(data, where, max_pixels, max_bytes)
    flags = []
    if getattr(header, "n_frames", 1) > 1 and header.format not in ("MPO", "HEIF"):
        flags.append("image_animated")
    if header.mode in ("CMYK", "YCCK"):
        flags.append("image_cmyk")
    image = load_image_bytes(data, where, max_pixels, max_bytes)
    small = thumbnail(image)
    if max(small) - min(small) <= 2:
        flags.append("image_blank")
    facts = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "num_bytes": len(data),
        "width_px": image.width,
        "height_px": image.height,
        "flags": flags,
    }
    return facts, small
