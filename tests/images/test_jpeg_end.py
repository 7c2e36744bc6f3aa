"""A JPEG ends at its own end marker, whatever is embedded before it and appended after it."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dico.images.errors import ImageError
from dico.images.inspection import inspect_image
from dico.images.load import has_jpeg_end, load_image_bytes


def jpeg(**options) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "JPEG", **options)
    return target.getvalue()


KINDS = {
    "baseline": jpeg(),
    "progressive": jpeg(progressive=True),
    "restarts": jpeg(restart_marker_blocks=2),
    "with a preview": jpeg(exif=b"Exif\0\0" + jpeg(quality=5)[:20_000]),
    "comment": jpeg(comment=b"\xff\xd9\xff\xda"),
}


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
def test_what_is_appended_does_not_matter(data):
    video = np.random.default_rng(2).bytes(50_000)
    for tail in (b"", b"\0" * 100, video, b"\xff\xda" + video, data, b"\xff\xd8\xff\xda"):
        assert has_jpeg_end(data + tail)
        assert load_image_bytes(data + tail, "x").size == (80, 60)


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
def test_a_cut_is_seen(data):
    for share in (0.5, 0.9, 0.99):
        cut = data[: int(len(data) * share)]
        assert not has_jpeg_end(cut)
        with pytest.raises(ImageError):
            load_image_bytes(cut, "x")
    assert not has_jpeg_end(data[:-1])


def test_two_images_in_one_file_are_no_animation():
    target = io.BytesIO()
    one, two = (Image.new("RGB", (64, 48), (n, 90, 30)) for n in (10, 200))
    one.save(target, "MPO", save_all=True, append_images=[two])
    facts, _ = inspect_image(target.getvalue(), "x", 10**6)
    assert "image_animated" not in facts["flags"]


def test_heic(tmp_path: Path):
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    path = tmp_path / "a.heic"
    try:
        pillow_heif.from_pillow(Image.new("RGB", (96, 64), (200, 30, 30))).save(path)
    except Exception as error:
        pytest.skip(f"this build of libheif does not write HEIC: {error}")
    image = load_image_bytes(path.read_bytes(), "a.heic")
    assert (image.size, image.mode) == ((96, 64), "RGB")
    assert abs(image.getpixel((50, 30))[0] - 200) < 12


def test_one_limit_in_every_step(tmp_path: Path):
    from dico.images.load import load_image, load_validated

    Image.new("1", (9_000, 6_000)).save(tmp_path / "large.png")
    with pytest.raises(ImageError, match="limit"):
        load_image(str(tmp_path / "large.png"))
    assert load_validated(str(tmp_path / "large.png")).size == (9_000, 6_000)
