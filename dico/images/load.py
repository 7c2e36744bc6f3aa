"""Images to 8-bit RGB, as a person would see them, or a DataError with a reason code.

EXIF orientation is applied; 16-bit grey keeps its range (Pillow alone turns 300 of 65,535 into 255);
CMYK, palettes and grey become RGB; transparency lies on white. Refused, never guessed: float and
32-bit pixels, truncated files, formats that are not photographs (SVG, PDF, EPS).
"""

import hashlib
import io
import os
import re
import stat
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dico.images.embedded import looks_embedded
from dico.images.errors import ImageError
from dico.images.limits import MAX_ASPECT_RATIO, MAX_BYTES, MAX_PIXELS
from dico.process.activity import DATA, activity
from dico.storage import open_store, split_uri

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
NUM_FETCHES = 4
NO_LIMIT = 1 << 62
"""For images that validation accepted by the limits of its settings."""
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")


@activity(DATA)
def load_image(uri: str, max_pixels: int = MAX_PIXELS, sha256: str = "") -> Image.Image:
    """The image at a path, ``s3://`` URI or inside of another file, upright and in RGB.

    Raises:
        ImageError: missing, not a file, not an image, damaged, too large, of an unclear range, or
            not the file that has the digest ``sha256``.
    """
    return load_image_bytes(read_image(uri, sha256), uri, max_pixels)


@activity(DATA)
def load_validated(uri: str, sha256: str = "") -> Image.Image:
    """An image that validation accepted: its limits are those of validation, not a second set.

    Raises:
        ImageError: see `load_image`.
    """
    return load_image_bytes(read_image(uri, sha256, NO_LIMIT), uri, NO_LIMIT, NO_LIMIT)


@activity(DATA)
def read_image(uri: str, sha256: str = "", max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of an image's file; remote ones that have another digest are fetched again.

    Raises:
        ImageError: see `load_image`.
    """
    for _ in range(NUM_FETCHES if uri.startswith("s3://") else 1):
        data = _read(uri, max_bytes)
        if not sha256 or hashlib.sha256(data).hexdigest() == sha256:
            return data
    raise ImageError(
        "image_digest_mismatch",
        f"{uri}: changed since it was validated; validate the dataset again",
    )


def _read(uri: str, max_bytes: int) -> bytes:
    if "#" in uri:
        from dico.images.embedded import is_embedded_uri, read_embedded

        if is_embedded_uri(uri):
            return read_embedded(uri)
    if uri.startswith("s3://"):
        store, key = split_uri(uri)
        return open_store(store).read_bytes(key)
    return read_file(uri, max_bytes)


def read_file(path: str | Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file; never waits on a pipe or a device.

    Raises:
        ImageError: missing, not a regular file, unreadable, empty or too large.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError("image_missing", f"{path}: no such image") from None
    except (OSError, ValueError) as error:
        raise ImageError("image_unreadable", f"{path}: cannot be opened ({error})") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("image_not_a_file", f"{path}: a folder, pipe or device, not a file")
        check_num_bytes(status.st_size, str(path), max_bytes)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    except OSError as error:
        raise ImageError("image_unreadable", f"{path}: cannot be read ({error})") from None
    finally:
        os.close(descriptor)


def check_num_bytes(num_bytes: int, where: str, max_bytes: int = MAX_BYTES) -> None:
    """Refuses empty and oversized files."""
    if num_bytes == 0:
        raise ImageError("image_empty", f"{where}: the file is empty")
    if num_bytes > max_bytes:
        raise ImageError(
            "image_too_large", f"{where}: {num_bytes} bytes, and the limit is {max_bytes}"
        )


def load_image_bytes(
    data: bytes, where: str, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> Image.Image:
    """An image's bytes as an upright 8-bit RGB image; ``where`` names it in errors.

    Raises:
        ImageError: see `load_image`.
    """
    image = open_image(data, where, max_pixels, max_bytes)
    try:
        image.load()
        return to_rgb(image, where)
    except ImageError:
        raise
    except MemoryError:
        raise ImageError("image_too_large", f"{where}: decoding needs too much memory") from None
    except Exception as error:  # Pillow's plugins raise nearly everything on damaged files
        truncated = "truncated" in str(error).lower()
        code = "image_truncated" if truncated else "image_damaged"
        raise ImageError(code, f"{where}: {_reason(error)}") from None


def open_image(
    data: bytes, where: str, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> Image.Image:
    """Reads an image's header only, and checks its format and size before any pixel is decoded."""
    check_num_bytes(len(data), where, max_bytes)
    Image.MAX_IMAGE_PIXELS = None  # the limit below is ours, and an error instead of a warning
    try:
        formats = (*FORMATS, "HEIF") if _is_heif(data, where) else FORMATS
        image = Image.open(io.BytesIO(data), formats=formats)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(*_not_an_image(data, where)) from None
    except Exception as error:
        raise ImageError("image_damaged", f"{where}: {_reason(error)}") from None
    width_px, height_px = image.size
    if width_px * height_px > max_pixels:
        size = f"{width_px} x {height_px} pixels"
        raise ImageError("image_too_large", f"{where}: {size}, and the limit is {max_pixels}")
    if max(image.size) > MAX_ASPECT_RATIO * min(image.size):
        size = f"{width_px} x {height_px} pixels"
        raise ImageError("image_too_narrow", f"{where}: {size}, a ratio above {MAX_ASPECT_RATIO:g}")
    if image.format in ("JPEG", "MPO") and not has_jpeg_end(data):
        raise ImageError("image_truncated", f"{where}: the JPEG ends before its end marker")
    return image


def has_jpeg_end(data: bytes) -> bool:
    """Whether a JPEG's own end marker is there, whatever follows it, such as a phone's video.

    Segments are walked by their lengths, so that the markers of an embedded preview, and of what is
    appended, are not taken for the image's.
    """
    at, scanned = 2, False
    while True:
        found = _JPEG_MARKER.search(data, at)
        if found is None:
            return False
        marker, at = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            return scanned
        if marker not in (0x01, 0xD8) and at + 2 <= len(data):
            at += int.from_bytes(data[at : at + 2], "big")
        scanned = scanned or marker == _START_OF_SCAN


def _is_heif(data: bytes, where: str) -> bool:
    """Whether it is HEIC or HEIF, as phones write it, and makes Pillow read it."""
    if data[4:8] != b"ftyp" or data[8:12] not in HEIF_BRANDS or b"avif" in data[16:64]:
        return False
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise ImageError(
            "image_format",
            f"{where}: HEIC is read with the extra heic (pip install 'dico-captioner[heic]')",
        ) from None
    register_heif_opener()
    return True


def to_rgb(image: Image.Image, where: str) -> Image.Image:
    """A decoded image of any mode as an upright RGB image."""
    image = ImageOps.exif_transpose(image)
    if image.mode in _SIXTEEN_BIT or (image.mode == "I" and image.format == "PNG"):
        return _from_sixteen_bit(image)
    if image.mode in ("I", "F", "LAB", "HSV"):
        raise ImageError(
            "image_range_unclear",
            f"{where}: pixels of mode {image.mode} have no agreed range; save it as 8-bit RGB",
        )
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _from_sixteen_bit(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image).astype(np.float32)
    grey = np.clip(np.rint(pixels / 257.0), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _not_an_image(data: bytes, where: str) -> tuple[str, str]:
    head = data[:512].lstrip().lower()
    if b"<svg" in head:
        return "image_format", f"{where}: an SVG drawing; export it as PNG"
    if head.startswith((b"<!doctype html", b"<html")):
        return (
            "image_format",
            f"{where}: a web page saved under an image's name; download it again",
        )
    if head.startswith(b"version https://git-lfs"):
        return "image_format", f"{where}: a pointer of Git LFS; fetch the image by git lfs pull"
    if head.startswith((b"%pdf", b"%!ps")):
        return "image_format", f"{where}: a PDF or PostScript document; export it as PNG"
    if looks_embedded(data[:512].decode("latin-1")):
        return (
            "image_format",
            f"{where}: an image in base64, not its own bytes; decode it (base64 -d)",
        )
    if head.startswith((b"{", b"[")):
        return "image_format", f"{where}: JSON, and not the bytes of an image's file"
    return "image_format", f"{where}: not an image of a known format ({', '.join(FORMATS)})"


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return f"cannot be decoded ({text[:200]})"
