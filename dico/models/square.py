"""The square that a vision tower sees, cut from a picture by Pillow alone, without torch."""

from PIL import Image


def cut_square(picture: Image.Image, size_px: int, interpolation: str) -> Image.Image:
    """A picture's centre as an RGB square of ``size_px``, its short side resized to fit.

    Equal to torchvision's Resize and CenterCrop on a PIL image: the long side is truncated to whole
    pixels, the crop's corner rounded.

    Args:
        picture: of any mode and size.
        size_px: side of the square.
        interpolation: bicubic or bilinear.
    """
    width, height = picture.size
    short = min(width, height)
    resized = (size_px * width // short, size_px * height // short)
    method = Image.Resampling[interpolation.upper()]
    picture = picture.convert("RGB").resize(resized, method)
    left, top = (round((side - size_px) / 2) for side in resized)
    return picture.crop((left, top, left + size_px, top + size_px))
