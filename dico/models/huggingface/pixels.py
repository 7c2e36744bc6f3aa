"""Pixels of an image as a transformers model wants them, by PIL, without its image processors.

Reads ``preprocessor_config.json`` (or the part of ``processor_config.json``) of processors that
resize, crop and normalise. Equal to transformers' own PIL processors.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dico.errors import ConfigError
from dico.images.frame import Frame
from dico.images.preprocessing import normalise, preprocess

_CLIP_STATISTICS = {
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}
_HALVES = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)}
_BICUBIC, _BILINEAR = 3, 2
DEFAULTS: dict[str, dict[str, Any]] = {
    "Blip": {"size": (384, 384), "resample": _BICUBIC, **_CLIP_STATISTICS},
    "CLIP": {"shortest_px": 224, "crop": (224, 224), "resample": _BICUBIC, **_CLIP_STATISTICS},
    "DeiT": {"size": (256, 256), "crop": (224, 224), "resample": _BICUBIC, **_HALVES},
    "Siglip": {"size": (224, 224), "resample": _BICUBIC, **_HALVES},
    "ViT": {"size": (224, 224), "resample": _BILINEAR, **_HALVES},
}
"""What each kind of processor does where its file says nothing."""


@dataclasses.dataclass(frozen=True)
class PixelConfig:
    """How an image becomes pixels."""

    image_mean: tuple[float, ...]
    """Mean of the three channels, on the 0..1 scale."""
    image_std: tuple[float, ...]
    """Standard deviation of the three channels, on the 0..1 scale."""
    frame: Frame
    """The part of it that is seen."""

    def __call__(self, image: Image.Image) -> Tensor:
        """Pixels (3, H, W), float32."""
        return preprocess(image, self)

    def of_frames(self, frames: Sequence[Image.Image]) -> Tensor:
        """Pixels (B, 3, H, W), float32, of images that ``frame`` cut."""
        squares = np.stack([np.array(one) for one in frames])  # (B, H, W, 3), uint8
        return normalise(torch.from_numpy(squares), self)


def pixel_config(data: Mapping[str, Any]) -> PixelConfig:
    """The config that the content of a preprocessor_config.json describes.

    Raises:
        ConfigError: a processor that is not known or does not resize, or sizes that are not sizes.
    """
    try:
        return _pixel_config(data)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"captioner: its image processor's settings: {error!r}") from None


def _pixel_config(data: Mapping[str, Any]) -> PixelConfig:
    kind = _kind(data)
    settings = dict(DEFAULTS[kind])
    if "size" in data:
        settings |= _size(data["size"], keeps_proportions=kind == "CLIP")
    if "crop_size" in data and data["crop_size"] is not None:
        settings["crop"] = _pair(data["crop_size"])
    if not data.get("do_center_crop", "crop" in DEFAULTS[kind]):
        settings["crop"] = None
    if not data.get("do_resize", True):
        raise ConfigError("captioner: its image processor does not resize; set do_resize there")
    for name in ("image_mean", "image_std"):
        if data.get(name) is not None:
            settings[name] = tuple(map(float, data[name]))
    if not data.get("do_normalize", True):
        settings |= {"image_mean": (0.0, 0.0, 0.0), "image_std": (1.0, 1.0, 1.0)}
    if data.get("resample") is not None:
        settings["resample"] = int(data["resample"])
    mean, std = settings.pop("image_mean"), settings.pop("image_std")
    return PixelConfig(mean, std, Frame(**settings))


def _kind(data: Mapping[str, Any]) -> str:
    name = str(data.get("image_processor_type") or data.get("feature_extractor_type"))
    kind = name
    for end in ("Fast", "Pil", "ImageProcessor", "FeatureExtractor"):
        kind = kind.removesuffix(end)
    if kind not in DEFAULTS:
        known = ", ".join(f"{kind}ImageProcessor" for kind in DEFAULTS)
        raise ConfigError(f"captioner: image processor {name} is not supported; known are {known}")
    return kind


def _size(size: Any, keeps_proportions: bool) -> dict[str, Any]:
    if isinstance(size, Mapping) and "shortest_edge" in size:
        size, keeps_proportions = size["shortest_edge"], True
    if isinstance(size, int) and keeps_proportions:
        return {"shortest_px": size, "size": None}
    return {"size": _pair(size), "shortest_px": None}


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    return int(size["height"]), int(size["width"])
