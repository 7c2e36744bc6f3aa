"""The zoo of C1 and the bombs of C2: images with their truth, and files with their reason code."""

import io
import os
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data.images import encoded, random_image

PHOTO = random_image(7, 120, 80)
JPEG = encoded(PHOTO, quality=95)
PNG = encoded(PHOTO, "PNG")
PROGRESSIVE = encoded(PHOTO, quality=95, progressive=True)
TRUTH = np.asarray(PHOTO)
WHITE = np.full((80, 120, 3), 255, np.uint8)
TOLERANCE = 2
"""Largest difference of an accepted image's pixels from the truth, of 255."""
Make = Callable[[], bytes]
Truth = Callable[[], np.ndarray]


def grey_truth() -> np.ndarray:
    return np.asarray(PHOTO.convert("L").convert("RGB"))


def decoded(data: bytes) -> np.ndarray:
    """What Pillow makes of a plain file."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def sixteen_bit(values: np.ndarray, format_name: str = "PNG") -> bytes:
    return encoded(Image.fromarray(values.astype(np.uint16)), format_name)


def sixteen_bit_colour() -> bytes:
    """A PNG of 16 bits per channel; Pillow can read them and not write them."""
    values = (TRUTH.astype(">u2") * 257).astype(">u2")
    header = struct.pack(">IIBBBBB", 120, 80, 16, 2, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in values))
    return png_of(header, data)


def oriented(orientation: int) -> bytes:
    """A file whose stored pixels need the EXIF orientation to look like PHOTO."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = PHOTO.transpose(undo[orientation]) if orientation in undo else PHOTO
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(stored, "PNG", exif=exif)


def exif_segment(orientation: int) -> bytes:
    """A JPEG's APP1 segment with the orientation alone."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = exif.tobytes()
    return b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """What an EXIF orientation means, by numpy alone."""
    return {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
        8: lambda x: np.rot90(x, 1),
    }[orientation](pixels)


def with_alpha(mode: str, alpha: int = 0) -> bytes:
    image = PHOTO.convert("RGBA")
    image.putalpha(Image.new("L", image.size, alpha))
    return encoded(image.convert(mode), "PNG")


def half_on_white() -> np.ndarray:
    return np.rint(TRUTH * (128 / 255) + 255 * (127 / 255)).astype(np.uint8)


def palette_with_transparency() -> bytes:
    image = Image.new("P", (64, 48), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    return encoded(image, "PNG", transparency=1)


def few_colours(num_colours: int) -> Image.Image:
    return PHOTO.quantize(num_colours)


def animation(format_name: str, **settings: object) -> bytes:
    first = few_colours(64) if format_name == "GIF" else PHOTO
    second = random_image(1, 120, 80)
    return encoded(first, format_name, save_all=True, append_images=[second], **settings)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(header: bytes, data: bytes) -> bytes:
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def zeros_deflated(num_bytes: int) -> bytes:
    """A zlib stream of zeros, put together from one packed block instead of packing them all."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    count, rest = divmod(num_bytes, 1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    tail = packer.compress(bytes(rest)) + packer.flush()
    checksum = (num_bytes % 65521) << 16 | 1
    return b"\x78\x01" + block * count + tail + struct.pack(">I", checksum)


def png_of_zeros(width_px: int, height_px: int, num_bytes: int = -1) -> bytes:
    """A PNG that is small as a file and huge as pixels, or whose data unpack to ``num_bytes``."""
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    whole = (1 + 3 * width_px) * height_px
    return png_of(header, zeros_deflated(whole if num_bytes < 0 else num_bytes))


def png_with(kind: bytes, start: bytes) -> bytes:
    """A PNG with a compressed chunk that unpacks to 300 MB."""
    return PNG[:33] + png_chunk(kind, start + zeros_deflated(300_000_000)) + PNG[33:]


ACCEPTED: dict[str, tuple[Make, Truth]] = {
    "jpeg": (lambda: JPEG, lambda: decoded(JPEG)),
    "progressive jpeg": (lambda: PROGRESSIVE, lambda: decoded(JPEG)),
    "jpeg and bytes after it": (lambda: JPEG + b"\0" * 64, lambda: decoded(JPEG)),
    "cmyk jpeg": (
        lambda: encoded(PHOTO.convert("CMYK"), quality=100, subsampling=0),
        lambda: TRUTH,
    ),
    "grey jpeg": (lambda: encoded(PHOTO.convert("L"), quality=100), grey_truth),
    "png": (lambda: PNG, lambda: TRUTH),
    "bmp": (lambda: encoded(PHOTO, "BMP"), lambda: TRUTH),
    "tiff": (lambda: encoded(PHOTO, "TIFF"), lambda: TRUTH),
    "tiff lzw": (lambda: encoded(PHOTO, "TIFF", compression="tiff_lzw"), lambda: TRUTH),
    "tiff deflate": (
        lambda: encoded(PHOTO, "TIFF", compression="tiff_adobe_deflate"),
        lambda: TRUTH,
    ),
    "cmyk tiff": (lambda: encoded(PHOTO.convert("CMYK"), "TIFF"), lambda: TRUTH),
    "webp": (lambda: encoded(PHOTO, "WEBP", lossless=True), lambda: TRUTH),
    "ppm": (lambda: encoded(PHOTO, "PPM"), lambda: TRUTH),
    "pgm": (lambda: encoded(PHOTO.convert("L"), "PPM"), grey_truth),
    "gif": (
        lambda: encoded(few_colours(64), "GIF"),
        lambda: np.asarray(few_colours(64).convert("RGB")),
    ),
    "grey": (lambda: encoded(PHOTO.convert("L"), "PNG"), grey_truth),
    "palette": (
        lambda: encoded(few_colours(256), "PNG"),
        lambda: np.asarray(few_colours(256).convert("RGB")),
    ),
    "palette of 4 bits": (
        lambda: encoded(few_colours(16), "PNG", bits=4),
        lambda: np.asarray(few_colours(16).convert("RGB")),
    ),
    "one bit": (
        lambda: encoded(PHOTO.convert("1"), "PNG"),
        lambda: np.asarray(PHOTO.convert("1").convert("RGB")),
    ),
    "one bit tiff": (
        lambda: encoded(PHOTO.convert("1"), "TIFF", compression="group4"),
        lambda: np.asarray(PHOTO.convert("1").convert("RGB")),
    ),
    "sixteen bit": (
        lambda: sixteen_bit(np.asarray(PHOTO.convert("L")).astype(np.uint32) * 257),
        grey_truth,
    ),
    "sixteen bit tiff": (
        lambda: sixteen_bit(np.asarray(PHOTO.convert("L")).astype(np.uint32) * 257, "TIFF"),
        grey_truth,
    ),
    "sixteen bit dark": (
        lambda: sixteen_bit(np.full((40, 60), 300)),
        lambda: np.full((40, 60, 3), 1, np.uint8),
    ),
    "sixteen bit colour": (sixteen_bit_colour, lambda: TRUTH),
    "transparent": (lambda: with_alpha("RGBA"), lambda: WHITE),
    "half transparent": (lambda: with_alpha("RGBA", 128), half_on_white),
    "transparent grey": (lambda: with_alpha("LA"), lambda: WHITE),
    "transparent palette": (
        palette_with_transparency,
        lambda: np.full((48, 64, 3), 255, np.uint8),
    ),
    "animation": (lambda: animation("WEBP", lossless=True), lambda: TRUTH),
    "animated gif": (
        lambda: animation("GIF"),
        lambda: np.asarray(few_colours(64).convert("RGB")),
    ),
    "one pixel": (
        lambda: encoded(Image.new("RGB", (1, 1), (9, 8, 7)), "PNG"),
        lambda: np.array([[[9, 8, 7]]], np.uint8),
    ),
    **{f"exif {n}": ((lambda n=n: oriented(n)), (lambda: TRUTH)) for n in range(1, 9)},
    **{
        f"jpeg exif {n}": (
            (lambda n=n: JPEG[:2] + exif_segment(n) + JPEG[2:]),
            (lambda n=n: turned(decoded(JPEG), n)),
        )
        for n in range(1, 9)
    },
}
REFUSED: dict[str, tuple[Make, str]] = {
    "empty": (lambda: b"", "image_empty"),
    "text as jpg": (lambda: b"this is no image" * 10, "image_format"),
    "svg": (lambda: b"<?xml version='1.0'?><svg xmlns='x'></svg>", "image_format"),
    "html": (lambda: b"<!doctype html><html>404</html>", "image_format"),
    "pdf": (lambda: b"%PDF-1.7 ...", "image_format"),
    "eps": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", "image_format"),
    "icon": (lambda: encoded(PHOTO.resize((32, 32)), "ICO"), "image_format"),
    "zeros": (lambda: bytes(1000), "image_format"),
    "float tiff": (
        lambda: encoded(Image.fromarray(np.ones((9, 9), np.float32)), "TIFF"),
        "image_range_unclear",
    ),
    "32 bit tiff": (
        lambda: encoded(Image.fromarray(np.ones((9, 9), np.int32)), "TIFF"),
        "image_range_unclear",
    ),
    "strip": (lambda: encoded(Image.new("RGB", (1, 60_000)), "PNG"), "image_too_narrow"),
    "jpeg without end mark": (lambda: JPEG[:-2], "image_truncated"),
    "progressive jpeg cut": (lambda: PROGRESSIVE[: len(PROGRESSIVE) // 2], "image_truncated"),
    "png flipped": (
        lambda: PNG[: len(PNG) // 2] + bytes([PNG[len(PNG) // 2] ^ 8]) + PNG[len(PNG) // 2 + 1 :],
        "image_damaged",
    ),
    "webp cut": (
        lambda: encoded(PHOTO, "WEBP", lossless=True)[:-400],
        "image_truncated image_damaged image_format",
    ),
    **{
        f"jpeg cut at {share}": ((lambda s=share: JPEG[: int(len(JPEG) * s)]), "image_truncated")
        for share in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
    },
    **{
        f"png cut at {share}": (
            (lambda s=share: PNG[: int(len(PNG) * s)]),
            "image_truncated image_damaged",
        )
        for share in (0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99)
    },
    **{
        f"jpeg head cut at {n}": (
            (lambda n=n: JPEG[:n]),
            "image_truncated image_damaged image_format",
        )
        for n in (2, 20, 200)
    },
}
BOMBS: dict[str, tuple[Make, str]] = {
    "169 megapixels": (lambda: png_of_zeros(13_000, 13_000), "image_too_large"),
    "30,000 x 30,000": (lambda: png_of_zeros(30_000, 30_000, 0), "image_too_large"),
    "zTXt of 300 MB": (lambda: png_with(b"zTXt", b"comment\0\0"), "image_damaged"),
    "iTXt of 300 MB": (lambda: png_with(b"iTXt", b"comment\0\1\0\0\0"), "image_damaged"),
    "iCCP of 300 MB": (lambda: png_with(b"iCCP", b"profile\0\0"), "image_damaged"),
    "IDAT of 300 MB": (lambda: png_of_zeros(64, 64, 300_000_000), "image_damaged "),
}


def special_files(folder: Path) -> dict[str, str]:
    """Makes what is no regular file; name to the codes that are right, empty where it is fine."""
    photo = folder / "photo.jpg"
    photo.write_bytes(JPEG)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "folder.jpg").mkdir()
    (folder / "good.jpg").symlink_to(photo)
    (folder / "dangling.jpg").symlink_to(folder / "nothing.jpg")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    return {
        "good.jpg": "",
        "pipe.jpg": "image_not_a_file",
        "folder.jpg": "image_not_a_file image_unreadable",
        "dangling.jpg": "image_missing",
        "loop.jpg": "image_unreadable",
        "absent.jpg": "image_missing",
        "\0.jpg": "image_unreadable",
    }


UNSAFE_MEMBERS = {
    "../evil.jpg": tarfile.REGTYPE,
    "/tmp/dico-evil.jpg": tarfile.REGTYPE,
    "a/../../b.jpg": tarfile.REGTYPE,
    "link.jpg": tarfile.SYMTYPE,
    "hardlink.jpg": tarfile.LNKTYPE,
    "device.jpg": tarfile.CHRTYPE,
    "pipe.jpg": tarfile.FIFOTYPE,
}


def unsafe_tar(path: Path) -> None:
    """A tar of unsafe members and one good sample."""
    photo = encoded(random_image(0))
    with tarfile.open(path, "w") as tar:
        for name, kind in UNSAFE_MEMBERS.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        for name, data in (("good.jpg", photo), ("good.txt", b"a dog on a beach")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def tar_of_a_million(path: Path) -> None:
    """A million members of no bytes."""
    header = tarfile.TarInfo("empty.txt").tobuf()
    with open(path, "wb") as file:
        for _ in range(1_000):
            file.write(header * 1_000)
