"""A picture to the pixels that a model sees: cut to a frame of bytes, then normalised.

B pictures, H x W pixels of a frame.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dico.config_schema import check
from dico.images.frame import Frame
from dico.ranges import Ranged

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
INTERPOLATIONS = ("bicubic", "bilinear")


class Preprocessing(Protocol):
    """What is done to a picture."""

    @property
    def frame(self) -> Frame:
        """The part that is seen."""
        ...

    @property
    def image_mean(self) -> tuple[float, ...]:
        """Mean of the three channels, on the 0..1 scale."""
        ...

    @property
    def image_std(self) -> tuple[float, ...]:
        """Standard deviation of the three channels, on the 0..1 scale."""
        ...


@dataclass(frozen=True)
class ClipPixels(Ranged):
    """How a picture becomes a CLIP's pixels, the size apart; the defaults are OpenAI's."""

    image_mean: tuple[float, ...] = CLIP_MEAN
    """Mean of the three channels, on the 0..1 scale."""
    image_std: tuple[float, ...] = CLIP_STD
    """Standard deviation of the three channels, on the 0..1 scale."""
    interpolation: str = "bicubic"
    """How a picture is resized: bicubic or bilinear."""

    def __post_init__(self) -> None:
        """Checks ranges, and what a picture has three of."""
        super().__post_init__()
        for name in ("image_mean", "image_std"):
            value = getattr(self, name)
            check(len(value) == 3, name, value, "must be three numbers")
        check(min(self.image_std) > 0, "image_std", self.image_std, "must be positive")
        known = self.interpolation in INTERPOLATIONS
        check(known, "interpolation", self.interpolation, f"one of {INTERPOLATIONS}")


def preprocess(picture: Image.Image, config: Preprocessing) -> Tensor:
    """Pixels (3, H, W), float32, of a picture."""
    return normalise(torch.from_numpy(np.array(config.frame.cut(picture))), config)


def normalise(frames: Tensor, config: Preprocessing) -> Tensor:
    """Pixels (..., 3, H, W), float32, of RGB frames (..., H, W, 3), uint8."""
    pixels = frames.movedim(-1, -3).float() / 255
    mean = torch.tensor(config.image_mean, device=pixels.device).view(3, 1, 1)
    return (pixels - mean) / torch.tensor(config.image_std, device=pixels.device).view(3, 1, 1)
