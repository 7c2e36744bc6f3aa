"""C1 and C2: every picture of the zoo gets the right verdict, and bombs are refused in time."""

import io
import os
import resource
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dico.data.guard import Limits, Looker
from dico.data.images import ImageError, load_image, load_image_bytes, to_rgb
from tests.data.pictures import encoded, picture

PHOTO = picture(7, 120, 80)
JPEG = encoded(PHOTO, quality=95)
PNG = encoded(PHOTO, "PNG")
TRUTH = np.asarray(PHOTO)


def grey_truth() -> np.ndarray:
    return np.asarray(PHOTO.convert("L").convert("RGB"))


def sixteen_bit(values: np.ndarray) -> bytes:
    return encoded(Image.fromarray(values.astype(np.uint16)), "PNG")


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


def with_alpha(mode: str) -> bytes:
    image = PHOTO.convert("RGBA")
    image.putalpha(Image.new("L", image.size, 0))
    return encoded(image.convert(mode), "PNG")


def palette_with_transparency() -> bytes:
    image = Image.new("P", (64, 48), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    return encoded(image, "PNG", transparency=1)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_zeros(width_px: int, height_px: int) -> bytes:
    """A PNG that is small as a file and huge as pixels."""
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * width_px)
    data = b"".join(packer.compress(row) for _ in range(height_px)) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", data)
        + png_chunk(b"IEND", b"")
    )


def png_with_text_bomb() -> bytes:
    text = b"comment\0\0" + zlib.compress(bytes(300_000_000), 9)
    return PNG[:33] + png_chunk(b"zTXt", text) + PNG[33:]


WHITE = np.full((80, 120, 3), 255, np.uint8)
ACCEPTED: dict[str, tuple[Callable[[], bytes], Callable[[], np.ndarray], int]] = {
    "jpeg": (lambda: JPEG, lambda: np.asarray(Image.open(io.BytesIO(JPEG))), 0),
    "png": (lambda: PNG, lambda: TRUTH, 0),
    "bmp": (lambda: encoded(PHOTO, "BMP"), lambda: TRUTH, 0),
    "tiff": (lambda: encoded(PHOTO, "TIFF"), lambda: TRUTH, 0),
    "tiff lzw": (lambda: encoded(PHOTO, "TIFF", compression="tiff_lzw"), lambda: TRUTH, 0),
    "webp": (lambda: encoded(PHOTO, "WEBP", lossless=True), lambda: TRUTH, 0),
    "ppm": (lambda: encoded(PHOTO, "PPM"), lambda: TRUTH, 0),
    "grey": (lambda: encoded(PHOTO.convert("L"), "PNG"), grey_truth, 0),
    "grey jpeg": (lambda: encoded(PHOTO.convert("L"), quality=100), grey_truth, 2),
    "cmyk tiff": (lambda: encoded(PHOTO.convert("CMYK"), "TIFF"), lambda: TRUTH, 2),
    "palette": (
        lambda: encoded(PHOTO.quantize(256), "PNG"),
        lambda: np.asarray(PHOTO.quantize(256).convert("RGB")),
        0,
    ),
    "one bit": (
        lambda: encoded(PHOTO.convert("1"), "PNG"),
        lambda: np.asarray(PHOTO.convert("1").convert("RGB")),
        0,
    ),
    "sixteen bit": (
        lambda: sixteen_bit(np.asarray(PHOTO.convert("L")).astype(np.uint32) * 257),
        grey_truth,
        0,
    ),
    "sixteen bit dark": (
        lambda: sixteen_bit(np.full((40, 60), 300)),
        lambda: np.full((40, 60, 3), 1, np.uint8),
        0,
    ),
    "transparent": (lambda: with_alpha("RGBA"), lambda: WHITE, 0),
    "transparent grey": (lambda: with_alpha("LA"), lambda: WHITE, 0),
    "transparent palette": (
        palette_with_transparency,
        lambda: np.full((48, 64, 3), 255, np.uint8),
        0,
    ),
    "animation": (
        lambda: encoded(
            PHOTO, "WEBP", lossless=True, save_all=True, append_images=[picture(1, 120, 80)]
        ),
        lambda: TRUTH,
        0,
    ),
    "one pixel": (
        lambda: encoded(Image.new("RGB", (1, 1), (9, 8, 7)), "PNG"),
        lambda: np.array([[[9, 8, 7]]], np.uint8),
        0,
    ),
    **{f"exif {n}": ((lambda n=n: oriented(n)), (lambda: TRUTH), 0) for n in range(1, 9)},
}
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "image_empty"),
    "text as jpg": (lambda: b"this is no picture" * 10, "image_format"),
    "svg": (lambda: b"<?xml version='1.0'?><svg xmlns='x'></svg>", "image_format"),
    "html": (lambda: b"<!doctype html><html>404</html>", "image_format"),
    "pdf": (lambda: b"%PDF-1.7 ...", "image_format"),
    "eps": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", "image_format"),
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
    "png flipped": (
        lambda: PNG[: len(PNG) // 2] + bytes([PNG[len(PNG) // 2] ^ 8]) + PNG[len(PNG) // 2 + 1 :],
        "image_damaged",
    ),
    "169 megapixels": (lambda: png_of_zeros(13_000, 13_000), "image_too_large"),
    **{
        f"jpeg cut at {share}": ((lambda s=share: JPEG[: int(len(JPEG) * s)]), "image_truncated")
        for share in (0.3, 0.5, 0.7, 0.9, 0.99)
    },
    **{
        f"png cut at {share}": (
            (lambda s=share: PNG[: int(len(PNG) * s)]),
            "image_truncated image_damaged",
        )
        for share in (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
    },
    **{
        f"jpeg head cut at {n}": (
            (lambda n=n: JPEG[:n]),
            "image_truncated image_damaged image_format",
        )
        for n in (2, 20, 200)
    },
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_usable_picture_keeps_its_pixels(name: str) -> None:
    make, truth, tolerance = ACCEPTED[name]
    image = load_image_bytes(make(), name)
    assert image.mode == "RGB"
    assert image.size == truth().shape[1::-1]
    assert np.abs(np.asarray(image).astype(int) - truth().astype(int)).max() <= tolerance


@pytest.mark.parametrize("name", REFUSED)
def test_an_unusable_picture_is_refused_with_its_code(name: str) -> None:
    make, codes = REFUSED[name]
    with pytest.raises(ImageError) as refusal:
        load_image_bytes(make(), name)
    assert refusal.value.code in codes.split()


def test_pillow_alone_would_get_the_zoo_wrong() -> None:
    """The negative control: these are the mistakes that the loader is there to avoid."""
    dark = Image.open(io.BytesIO(sixteen_bit(np.full((4, 6), 300))))
    naive = np.asarray(dark.point(lambda v: v).convert("RGB") if dark.mode == "I" else dark).max()
    assert naive != 1
    assert Image.open(io.BytesIO(oriented(6))).convert("RGB").size == (80, 120)
    Image.open(io.BytesIO(JPEG[: len(JPEG) // 2])).verify()


def test_special_files_are_refused_without_waiting(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(JPEG)
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "good.jpg").symlink_to(photo)
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nothing.jpg")
    expected = {
        "pipe.jpg": "image_not_a_file",
        "folder.jpg": "image_not_a_file image_unreadable",
        "dangling.jpg": "image_missing",
        "absent.jpg": "image_missing",
        "\0.jpg": "image_unreadable",
    }
    start = time.monotonic()
    for name, codes in expected.items():
        with pytest.raises(ImageError) as refusal:
            load_image(f"{tmp_path}/{name}")
        assert refusal.value.code in codes.split()
    assert load_image(str(tmp_path / "good.jpg")).size == (120, 80)
    assert time.monotonic() - start < 5


def test_modes_without_an_agreed_range_are_refused() -> None:
    with pytest.raises(ImageError, match="no agreed range"):
        to_rgb(Image.new("F", (4, 4)), "here")


def test_the_child_gives_the_same_verdicts(tmp_path: Path) -> None:
    looker = Looker(Limits())
    try:
        for index, (name, (make, codes)) in enumerate(REFUSED.items()):
            path = tmp_path / f"{index}.bin"
            path.write_bytes(make())
            assert looker.look(str(path)).code in codes.split(), name
        facts = looker.look("photo", JPEG)
        assert (facts.code, facts.width_px, facts.height_px) == ("", 120, 80)
        assert len(facts.thumbnail) == 64 * 64
    finally:
        looker.close()


def test_bombs_are_refused_in_time_and_memory(tmp_path: Path) -> None:
    """C2: at most 2 s and 512 MB each, by the child's own peak."""
    bombs = {
        "169 megapixels": png_of_zeros(13_000, 13_000),
        "30,000 squared": png_of_zeros(30_000, 1)[:33] + PNG[33:],
        "text": png_with_text_bomb(),
    }
    looker = Looker(Limits())
    try:
        assert looker.look("warm", JPEG).code == ""
        child = looker._child
        assert child is not None
        before = _peak_bytes(child.pid)
        for name, data in bombs.items():
            start = time.monotonic()
            facts = looker.look(name, data)
            assert facts.code.startswith("image_"), name
            assert time.monotonic() - start < 5, name
        assert looker._child is child
        assert _peak_bytes(child.pid) - before < 512_000_000
    finally:
        looker.close()


def _peak_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_a_child_that_hangs_is_replaced(tmp_path: Path) -> None:
    looker = Looker(Limits(max_seconds=0.4))
    try:
        assert looker.look("warm", JPEG).code == ""
        assert looker._child is not None
        os.kill(looker._child.pid, 19)  # SIGSTOP: it will never answer
        assert looker.look("slow", JPEG).code == "image_timeout"
        assert looker.look("next", JPEG).code == ""
    finally:
        looker.close()


def test_a_child_that_dies_is_replaced() -> None:
    looker = Looker(Limits())
    try:
        assert looker.look("warm", JPEG).code == ""
        assert looker._child is not None
        looker._child.kill()
        looker._child.wait()
        assert looker.look("next", JPEG).code == ""
    finally:
        looker.close()


def test_memory_is_limited(tmp_path: Path) -> None:
    """The limit holds for the child alone, and a picture above it gets a verdict."""
    looker = Looker(Limits(max_pixels=10**9, max_memory_bytes=64 << 20, max_seconds=20))
    try:
        facts = looker.look("large", png_of_zeros(6_000, 6_000))
        assert facts.code in ("image_too_large", "image_damaged")
        assert looker.look("small", JPEG).code == ""
    finally:
        looker.close()
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
