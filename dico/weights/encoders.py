"""Dual encoders and vision towers, from the files that their authors publish, whoever builds them.

What our own CLIP implements becomes one, which is faster; everything else goes by its library.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dico.errors import ConfigError, DataError
from dico.images.preprocessing import ClipPixels
from dico.models.clip_config import ClipConfig
from dico.models.encoders import EncoderConfig, build_encoder, measured
from dico.models.fit import require_fit
from dico.models.tokenizer import Tokenizer
from dico.models.torchvision_compat import ensure_torchvision_imports
from dico.storage.json_files import read_object
from dico.weights.clip import fitted, import_clip, pixels_of_open_clip
from dico.weights.files import Tensors, read_tensors
from dico.weights.keeping import TEXT_CONFIG, open_clip_settings
from dico.weights.packages import TOWERS_FILE, UNTRAINED
from dico.weights.processors import processor_pixels

SaveTokenizer = Callable[[Path], None]


@dataclass(frozen=True)
class ReadEncoder:
    """An encoder out of its authors' files."""

    config: ClipConfig | EncoderConfig
    """Architecture."""
    tensors: Tensors
    """Weights in float32, under our names or its library's."""
    pixels: ClipPixels
    """The pixels that it was trained on."""
    save_tokenizer: SaveTokenizer | None
    """Writes what it reads text with; None where it reads none."""


def read_encoder(path: Path, architecture: str = "", quick_gelu: bool = True) -> ReadEncoder:
    """The encoder of a file or folder.

    Args:
        path: a CLIP's weights file; or a folder of open_clip (``open_clip_config.json``), of
            transformers (``config.json`` and ``preprocessor_config.json``) or of timm.
        architecture: open_clip's ``MODEL:TAG``, where the files do not tell it.
        quick_gelu: for a file: whether it was trained with QuickGELU.

    Raises:
        ConfigError: an architecture that nothing here builds.
        DataError: weights are missing or are another model's.
    """
    settings = open_clip_settings(path, architecture)
    if settings:
        return _of_open_clip(path, settings, architecture)
    if path.is_file():
        config, tensors = import_clip(path, quick_gelu)
        return ReadEncoder(config, tensors, ClipPixels(), Tokenizer.clip().save)
    if joined := read_object(path / TOWERS_FILE, "a config", optional=True):
        return _of_towers(path, joined)
    data = read_object(path / "config.json", "a config", optional=True)
    if "architecture" in data:
        return _of_timm(path, data)
    if not data.get("model_type"):
        raise DataError(f"{path}: holds no config.json of transformers, open_clip or timm")
    if data["model_type"] == "clip" and _has_clip_words(data):
        config, tensors = import_clip(path, quick_gelu)
        pixels, _ = processor_pixels(path, config.image_size)
        return ReadEncoder(config, tensors, pixels, Tokenizer.clip().save)
    return _of_transformers(path, data)


def _of_open_clip(path: Path, settings: dict[str, Any], architecture: str) -> ReadEncoder:
    told = _open_clip_tag(architecture) or read_object(
        path / "open_clip_config.json", "a config", optional=True
    ).get("preprocess_cfg", {})
    if "quick_gelu" in told:
        settings = settings | {"quick_gelu": bool(told["quick_gelu"])}
    pixels = pixels_of_open_clip(told, str(path))
    try:
        config = ClipConfig.from_dict(settings)
    except ConfigError:
        return _by_open_clip(path, settings, pixels)
    tensors = fitted(read_tensors(path), config, str(path))
    return ReadEncoder(config, tensors, pixels, Tokenizer.clip().save)


def _by_open_clip(path: Path, settings: dict[str, Any], pixels: ClipPixels) -> ReadEncoder:
    from dico.models.encoders import open_clip as library

    text_config = (
        read_object(path / TEXT_CONFIG, "a config") if (path / TEXT_CONFIG).is_file() else None
    )
    ours = {"model_cfg": settings, "text_config": text_config}
    encoder: Any = build_encoder("open_clip", ours)
    tensors = library.converted(encoder.model, read_tensors(path))
    _fill(encoder.model, tensors, path)
    size = library.image_size(encoder.model)
    limit = int(settings.get("text_cfg", {}).get("context_length", 77))
    config = measured("open_clip", ours, encoder, size, limit)
    return ReadEncoder(
        config,
        encoder.state_dict(),
        pixels,
        lambda folder: library.save_tokenizer(ours, path, folder),
    )


def _of_transformers(path: Path, data: dict[str, Any]) -> ReadEncoder:
    from dico.models.encoders import transformers as library

    settings = {"config": data}
    encoder: Any = library.read(settings, path)
    pixels, size = processor_pixels(path, _image_size(data))
    reads = hasattr(encoder, "encode_text")
    limit = library.text_limit(data, encoder.model) if reads else 0
    config = measured("transformers", settings, encoder, size, limit)
    save: SaveTokenizer | None = None
    if reads:
        save = lambda folder: library.save_tokenizer(path, folder)  # noqa: E731
    return ReadEncoder(config, encoder.state_dict(), pixels, save)


def _of_timm(path: Path, data: dict[str, Any]) -> ReadEncoder:
    told = data.get("pretrained_cfg", {})
    settings = {"architecture": data["architecture"], "model_args": data.get("model_args", {})}
    encoder: Any = build_encoder("timm", settings)
    kept = encoder.model.state_dict()
    tensors = {k: v for k, v in read_tensors(path, unwrap=False).items() if k in kept}
    _fill(encoder.model, tensors, path)
    size = int(told.get("input_size", [3, 224, 224])[-1])
    pixels = ClipPixels(
        tuple(told.get("mean", (0.485, 0.456, 0.406))),
        tuple(told.get("std", (0.229, 0.224, 0.225))),
        str(told.get("interpolation", "bicubic")),
        shortest_px=int(size / float(told.get("crop_pct", 0.875))),
    )
    config = measured("timm", settings, encoder, size, 0)
    return ReadEncoder(config, encoder.state_dict(), pixels, None)


def _of_towers(path: Path, data: dict[str, Any]) -> ReadEncoder:
    """Two towers with untrained maps between them; see `dico.weights.packages`."""
    from dico.models.encoders import transformers as library

    settings = {name: data[name] for name in ("vision", "text", "embed_dim")}
    encoder: Any = build_encoder("towers", settings)
    untrained = {k: v for k, v in encoder.state_dict().items() if k.startswith(UNTRAINED)}
    _fill(encoder, untrained | read_tensors(path, unwrap=False), path)
    half = (0.5, 0.5, 0.5)
    config = measured("towers", settings, encoder, data["image_size_px"], data["context_length"])
    return ReadEncoder(
        config,
        encoder.state_dict(),
        ClipPixels(half, half, resize="squash"),
        lambda folder: library.save_tokenizer(path, folder),
    )


def _fill(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Gives a model its weights, all of them."""
    found = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    require_fit(model.state_dict(), found, str(path))
    model.load_state_dict(found, strict=True)


def _open_clip_tag(architecture: str) -> dict[str, Any]:
    if not architecture:
        return {}
    ensure_torchvision_imports()
    import open_clip

    model, _, tag = architecture.partition(":")
    return dict(open_clip.get_pretrained_cfg(model, tag))


def _has_clip_words(data: Mapping[str, Any]) -> bool:
    """Whether its text is read in CLIP's own vocabulary."""
    return int(data.get("text_config", {}).get("vocab_size", 49408)) == 49408


def _image_size(data: Mapping[str, Any]) -> int:
    vision = data.get("vision_config") or data
    size = vision.get("image_size", 224)
    return int(size[0] if isinstance(size, list) else size)
