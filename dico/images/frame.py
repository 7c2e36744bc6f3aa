"""The part of an image that a model sees, cut by Pillow alone, without torch."""

from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class Frame:
    """How an image is resized, and what is cut from its middle."""

    resample: int
    """PIL's number of the filter that resizes."""
    size: tuple[int, int] | None = None
    """Height and width to resize to, whatever the image's proportions."""
    shortest_px: int | None = None
    """Shorter side to resize to instead, keeping proportions; the long side is truncated."""
    longest_px: int | None = None
    """Longer side that is reduced to instead, keeping proportions; smaller images stay."""
    crop: tuple[int, int] | None = None
    """Height and width cut from the middle afterwards."""
    rounds: bool = False
    """Whether the crop's corner is rounded, as by torchvision, or truncated, as by transformers."""

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width of every frame; None where they follow the image's."""
        return self.crop or self.size

    def cut(self, image: Image.Image) -> Image.Image:
        """The RGB frame of an image of any mode and size."""
        image = image.convert("RGB")
        image = image.resize(self._resized(image.size), Image.Resampling(self.resample))
        if self.crop is None:
            return image
        height, width = self.crop
        left = self._corner(image.width - width)
        top = self._corner(image.height - height)
        return image.crop((left, top, left + width, top + height))

    def _resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height, of an image's."""
        if self.longest_px is not None and max(size) > self.longest_px:
            width, height = (max(1, round(self.longest_px * side / max(size))) for side in size)
        elif self.shortest_px is not None:
            width, height = (self.shortest_px * side // min(size) for side in size)
        elif self.size is not None:
            height, width = self.size
        else:
            width, height = size
        return width, height

    def _corner(self, excess: int) -> int:
        return round(excess / 2) if self.rounds else excess // 2


def centre_square(
    size_px: int, interpolation: str, shortest_px: int = 0, rounds: bool = True
) -> Frame:
    """The centre square of ``size_px``: equal to torchvision's Resize and CenterCrop on PIL images.

    Args:
        size_px: side of the square.
        interpolation: bicubic, bilinear or lanczos.
        shortest_px: what the short side is resized to; 0 for ``size_px``.
        rounds: see `Frame.rounds`.
    """
    method = Image.Resampling[interpolation.upper()]
    shortest = shortest_px or size_px
    return Frame(int(method), shortest_px=shortest, crop=(size_px, size_px), rounds=rounds)
