"""An image to the pixels that a model sees: cut to a frame of bytes, then normalised.

B images, H x W pixels of a frame.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dico.configuration.ranges import NonNegativeInt, Ranged
from dico.configuration.schema import check
from dico.images.frame import Frame, centre_square

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
RESIZES = ("shortest", "squash")
INTERPOLATIONS = ("bicubic", "bilinear", "lanczos")


class Preprocessing(Protocol):
    """Frame, mean and standard deviation of an image encoder's input."""

    @property
    def frame(self) -> Frame:
        """The part that is seen."""

    @property
    def image_mean(self) -> tuple[float, ...]:
        """Mean of the three channels, on the 0..1 scale."""

    @property
    def image_std(self) -> tuple[float, ...]:
        """Standard deviation of the three channels, on the 0..1 scale."""


@dataclass(frozen=True)
class ClipPixels(Ranged):
    """How an image becomes a CLIP's pixels, the size apart; the defaults are OpenAI's."""

    image_mean: tuple[float, ...] = CLIP_MEAN
    """Mean of the three channels, on the 0..1 scale."""
    image_std: tuple[float, ...] = CLIP_STD
    """Standard deviation of the three channels, on the 0..1 scale."""
    interpolation: str = "bicubic"
    """How an image is resized: bicubic, bilinear or lanczos."""
    resize: str = "shortest"
    """``shortest``: its short side, keeping proportions, and the middle is cut out; ``squash``: both
    sides, as SigLIP does."""
    shortest_px: NonNegativeInt = 0
    """What the short side is resized to before the cut; 0 for the size of the cut."""
    rounds: bool = True
    """Whether the cut's corner is rounded, as by torchvision, or truncated, as by transformers."""

    def __post_init__(self) -> None:
        """Checks ranges, and what an image has three of."""
        super().__post_init__()
        for name in ("image_mean", "image_std"):
            value = getattr(self, name)
            check(len(value) == 3, name, value, "must be three numbers")
        check(min(self.image_std) > 0, "image_std", self.image_std, "must be positive")
        known = self.interpolation in INTERPOLATIONS
        check(known, "interpolation", self.interpolation, f"one of {INTERPOLATIONS}")
        check(self.resize in RESIZES, "resize", self.resize, f"one of {RESIZES}")

    def square(self, size_px: int) -> Frame:
        """The square of ``size_px`` that is seen of an image."""
        if self.resize == "squash":
            filter_number = int(Image.Resampling[self.interpolation.upper()])
            return Frame(filter_number, size=(size_px, size_px))
        return centre_square(size_px, self.interpolation, self.shortest_px, self.rounds)


def preprocess(image: Image.Image, config: Preprocessing) -> Tensor:
    """Pixels (3, H, W), float32, of an image."""
    return normalise(torch.from_numpy(np.array(config.frame.cut(image))), config)


def normalise(frames: Tensor, config: Preprocessing) -> Tensor:
    """Pixels (..., 3, H, W), float32, of RGB frames (..., H, W, 3), uint8."""
    pixels = frames.movedim(-1, -3).float() / 255
    mean = torch.tensor(config.image_mean, device=pixels.device).view(3, 1, 1)
    return (pixels - mean) / torch.tensor(config.image_std, device=pixels.device).view(3, 1, 1)
