"""A picture to the pixels that a model sees: cut to a frame of bytes, then normalised.

B pictures, H x W pixels of a frame.
"""

from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dico.models.frame import Frame


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


def preprocess(picture: Image.Image, config: Preprocessing) -> Tensor:
    """Pixels (3, H, W), float32, of a picture."""
    return normalise(torch.from_numpy(np.array(config.frame.cut(picture))), config)


def normalise(frames: Tensor, config: Preprocessing) -> Tensor:
    """Pixels (..., 3, H, W), float32, of RGB frames (..., H, W, 3), uint8."""
    pixels = frames.movedim(-1, -3).float() / 255
    mean = torch.tensor(config.image_mean, device=pixels.device).view(3, 1, 1)
    return (pixels - mean) / torch.tensor(config.image_std, device=pixels.device).view(3, 1, 1)
