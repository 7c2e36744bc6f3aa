"""Pixels of an encoder of transformers, from its image processor's settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from dico.errors import ConfigError
from dico.images.preprocessing import CLIP_MEAN, CLIP_STD, ClipPixels
from dico.models.huggingface_files import read_image_processor

_HALF = (0.5, 0.5, 0.5)
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BILINEAR, _BICUBIC = 2, 3
_STATISTICS = {
    "CLIP": (CLIP_MEAN, CLIP_STD, _BICUBIC),
    "ChineseCLIP": (CLIP_MEAN, CLIP_STD, _BICUBIC),
    "Bit": (CLIP_MEAN, CLIP_STD, _BICUBIC),
    "Siglip": (_HALF, _HALF, _BICUBIC),
    "Siglip2": (_HALF, _HALF, _BILINEAR),
    "ViT": (_HALF, _HALF, _BILINEAR),
    "DeiT": (_IMAGENET_MEAN, _IMAGENET_STD, _BICUBIC),
    "ConvNext": (_IMAGENET_MEAN, _IMAGENET_STD, _BICUBIC),
    "EfficientNet": (_IMAGENET_MEAN, _IMAGENET_STD, _BILINEAR),
}
"""Mean, deviation and filter of each kind of processor, where its file says nothing."""


def processor_pixels(folder: Path, image_size: int) -> tuple[ClipPixels, int]:
    """What an image becomes, and the side of the square; OpenAI's where no file tells.

    Raises:
        ConfigError: a processor that makes no square of a known size.
        DataError: not such a file.
    """
    data = read_image_processor(folder)
    if data is None:
        return ClipPixels(), image_size
    kind = _kind(data, folder)
    mean, std, resample = _STATISTICS[kind]
    crop = _side(data.get("crop_size"), folder) if data.get("do_center_crop", True) else 0
    size = data.get("size") or image_size
    if kind == "Siglip2" and "patch_size" in data:
        size = int(data["patch_size"] * round(int(data["max_num_patches"]) ** 0.5))
    shortest = size.get("shortest_edge") if isinstance(size, Mapping) else None
    if isinstance(size, int) and kind in ("CLIP", "Bit"):
        shortest = size
    pixels = ClipPixels(
        tuple(map(float, data.get("image_mean") or mean)),
        tuple(map(float, data.get("image_std") or std)),
        Image.Resampling(int(data.get("resample", resample))).name.lower(),
        resize="shortest" if shortest else "squash",
        shortest_px=int(shortest or 0),
        rounds=False,
    )
    side = crop or int(shortest or _side(size, folder))
    if not shortest and _side(size, folder) != side:
        raise ConfigError(f"weights: {folder}: resizes to {size} and cuts {side}: not built here")
    return pixels, side


def _kind(data: Mapping[str, Any], folder: Path) -> str:
    name = str(data.get("image_processor_type") or data.get("feature_extractor_type"))
    kind = name
    for end in ("Fast", "Pil", "ImageProcessor", "FeatureExtractor"):
        kind = kind.removesuffix(end)
    if kind not in _STATISTICS:
        known = ", ".join(_STATISTICS)
        raise ConfigError(
            f"weights: {folder}: image processor {name} is unknown; known are {known}"
        )
    return kind


def _side(size: Any, folder: Path) -> int:
    if size is None:
        return 0
    sides = {size} if isinstance(size, int) else {size.get("height"), size.get("width")}
    side = sides.pop()
    if sides or not isinstance(side, int):
        raise ConfigError(f"weights: {folder}: images become no square: {size}")
    return side
