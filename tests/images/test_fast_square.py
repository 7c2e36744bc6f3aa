"""The fast way gives nearly the exact way's square, and leaves what is special to it."""

import numpy as np
import pytest

from dico.images.errors import ImageError
from dico.images.fast_square import fast_square
from dico.images.frame import centre_square
from dico.images.load import load_image_bytes
from tests.data import zoo
from tests.data.images import encoded, random_image

pytest.importorskip(
    "simplejpeg", reason="the fast way needs simplejpeg: pip install 'dico-captioner[fast]'"
)


@pytest.mark.parametrize("size", [(96, 72), (72, 96), (75, 75), (301, 200)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_the_square_is_nearly_the_exact_one(size, interpolation):
    data = encoded(random_image(3, *size), quality=90)
    exact = np.asarray(centre_square(48, interpolation).cut(load_image_bytes(data, "x")), np.int16)
    fast = fast_square(data, "x", 48, interpolation).numpy().astype(np.int16)
    assert fast.shape == exact.shape == (48, 48, 3)
    assert np.abs(fast - exact).max() <= 3
    assert (fast != exact).mean() < 0.05


def test_a_grey_jpeg_is_a_grey_square():
    square = fast_square(zoo.ACCEPTED["grey jpeg"][0](), "x", 32, "bicubic")
    assert (square[..., 0] == square[..., 2]).all()


@pytest.mark.parametrize("name", ["png", "jpeg exif 6", "cmyk jpeg", "animated gif"])
def test_what_is_no_plain_jpeg_goes_the_exact_way(name):
    assert fast_square(zoo.ACCEPTED[name][0](), "x", 32, "bicubic") is None


@pytest.mark.parametrize("name", ["jpeg cut at 0.5", "text as jpg", "empty"])
def test_what_is_no_image_is_refused_as_ever(name):
    with pytest.raises(ImageError):
        fast_square(zoo.REFUSED[name][0](), "x", 32, "bicubic")
