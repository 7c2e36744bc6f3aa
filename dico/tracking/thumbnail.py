"""Small copies of images for trackers."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dico.images.load import load_image

SIDE_PX = 256


def thumbnail(uri: str) -> Image.Image:
    """The image at ``uri``, RGB, at most `SIDE_PX` wide and high."""
    image = load_image(uri)
    image.thumbnail((SIDE_PX, SIDE_PX))
    return image


def pixels(uri: str) -> NDArray[np.uint8]:
    """The same as an array (H, W, 3)."""
    return np.asarray(thumbnail(uri))
