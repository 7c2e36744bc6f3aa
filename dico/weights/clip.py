"""CLIP weights of open_clip, OpenAI, PAC-S and PAC-S++ into our CLIP.

All share one set of names. What differs is the container, the activation (OpenAI trained with
QuickGELU), the vocabulary of settings, which is read off the shapes here, and LoRA in PAC-S++.
"""

import dataclasses
import re
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from dico.errors import ConfigError, DataError, StorageError, one_line
from dico.images.preprocessing import INTERPOLATIONS, RESIZES, ClipPixels
from dico.models.clip import ClipModel
from dico.models.clip_config import ClipConfig, TextConfig, VisionConfig
from dico.models.fit import require_fit
from dico.models.torchvision_compat import ensure_torchvision_imports
from dico.storage.json_files import read_object
from dico.weights.clip_names import (
    clip_from_transformers,
    is_transformers_clip,
    with_heads,
)
from dico.weights.files import Tensors, read_tensors

HEAD_WIDTH = 64
_NUM_AXES = {
    "ln_final.weight": 1,
    "positional_embedding": 2,
    "text_projection": 2,
    "token_embedding.weight": 2,
    "visual.attnpool.positional_embedding": 2,
    "visual.conv1.weight": 4,
    "visual.layer1.0.conv1.weight": 4,
    "visual.positional_embedding": 2,
}
_NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size", "attn_mask")


def import_clip(
    path: str | Path,
    quick_gelu: bool,
    sha256: str = "",
    mlp_lora: Literal["stored", "add"] = "stored",
) -> tuple[ClipConfig, Tensors]:
    """A CLIP's settings and float32 weights from a file.

    Args:
        path: an OpenAI archive (ViT-B-32.pt, RN50.pt), a PAC-S or PAC-S++ .pth, open_clip's
            open_clip_model.safetensors or .bin, or a file or folder in transformers' layout.
        quick_gelu: true for OpenAI's weights and what was tuned from them (PAC-S ViT-B/32, PAC-S++),
            false for OpenCLIP's (PAC-S ViT-L/14, laion2b_s32b_b82k).
        sha256: digest that the file must have.
        mlp_lora: whether LoRA is added to the MLP weights too; see `merge_lora`.

    Raises:
        DataError: not a CLIP of this layout.
    """
    tensors = read_tensors(path, sha256)
    if is_transformers_clip(tensors):
        tensors = clip_from_transformers(tensors, str(path))
    tensors = merge_lora(tensors, mlp_lora)
    config = infer_config(tensors, quick_gelu, str(path))
    config = with_heads(config, _transformers_config(Path(path)))
    return config, fitted(tensors, config, str(path))


def load_open_clip(name: str, pretrained: str, sha256: str = "") -> tuple[ClipConfig, Tensors]:
    """Settings and float32 weights by open_clip's names, such as ``ViT-L-14`` and ``openai``.

    Args:
        name: a model of open_clip.
        pretrained: a tag of the model, whose weights and activation are its own; they come from
            open_clip's cache or are fetched by it. Or a file, whose activation is the model's.
        sha256: digest that the file must have.

    Raises:
        ConfigError: open_clip does not know the names, or the model has parts we do not build.
        DataError: the file does not hold the model's weights.
        StorageError: open_clip cannot fetch or read the tag's weights.
    """
    open_clip = _open_clip()
    data = open_clip.get_model_config(name)
    if data is None:
        raise ConfigError(
            f"weights: open_clip knows no model {name!r}; see open_clip.list_models()"
        )
    config = ClipConfig.from_dict(data)
    tag = open_clip.get_pretrained_cfg(name, pretrained)
    if not tag and Path(pretrained).is_file():
        return config, fitted(read_tensors(pretrained, sha256), config, pretrained)
    if not tag:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(name))
        raise ConfigError(f"weights: {name} has no {pretrained!r}; known are {known}")
    config = dataclasses.replace(config, quick_gelu=tag.get("quick_gelu", False))
    try:
        model = open_clip.create_model(
            name, pretrained, force_quick_gelu=config.quick_gelu, weights_only=True
        )
    except Exception as error:
        raise StorageError(
            f"weights: open_clip cannot load {name}:{pretrained}: {one_line(error)}; give a file instead"
        ) from None
    return config, _float32(model.state_dict())


def open_clip_pixels(name: str, pretrained: str) -> ClipPixels | None:
    """The pixels that a tag's weights were trained on; None where open_clip does not know the tag.

    Raises:
        ConfigError: they are made in a way that is not built here.
    """
    tag = _open_clip().get_pretrained_cfg(name, pretrained)
    return pixels_of_open_clip(tag, f"{name}:{pretrained}") if tag else None


def pixels_of_open_clip(told: Mapping[str, Any], where: str) -> ClipPixels:
    """Pixels of a tag, or of ``preprocess_cfg`` in open_clip_config.json.

    Raises:
        ConfigError: they are made in a way that is not built here.
    """
    mode, interpolation = told.get("resize_mode", "shortest"), told.get("interpolation", "bicubic")
    if mode not in RESIZES or interpolation not in INTERPOLATIONS:
        raise ConfigError(
            f"weights: {where} sees images resized by {mode!r}, {interpolation!r}; built are "
            f"{', '.join(RESIZES)} and {', '.join(INTERPOLATIONS)}; choose other weights"
        )
    default = ClipPixels()
    return ClipPixels(
        tuple(told.get("mean") or default.image_mean),
        tuple(told.get("std") or default.image_std),
        interpolation,
        resize=mode,
    )


def _open_clip() -> Any:
    ensure_torchvision_imports()
    import open_clip

    return open_clip


def fitted(tensors: Tensors, config: ClipConfig, where: str) -> Tensors:
    """The weights of ``config`` out of a file's, in float32 and in the model's order.

    Raises:
        DataError: they are another model's.
    """
    kept = _float32({k: value for k, value in tensors.items() if k not in _NOT_WEIGHTS})
    with torch.device("meta"):
        expected = ClipModel(config).state_dict()
    require_fit(expected, kept, where)
    return {name: kept[name] for name in expected}


def _transformers_config(path: Path) -> dict[str, Any]:
    """Transformers' config.json in the folder of the weights; empty where there is none."""
    file = (path if path.is_dir() else path.parent) / "config.json"
    data = read_object(file, "a config", optional=True)
    return data if data.get("model_type") == "clip" else {}


def _float32(tensors: Tensors) -> Tensors:
    """The weights in float32; what counts batches in a ResNet stays an integer."""
    return {
        k: value.float() if value.is_floating_point() else value for k, value in tensors.items()
    }


def infer_config(tensors: Tensors, quick_gelu: bool, where: str) -> ClipConfig:
    """Settings of a CLIP read off the shapes of its weights; heads are 64 wide, as in all of them.

    Raises:
        DataError: a weight that tells the shape is missing or has another number of axes.
    """
    for name, num_axes in _NUM_AXES.items():
        if name in tensors and tensors[name].dim() != num_axes:
            shape = tuple(tensors[name].shape)
            raise DataError(f"{where}: weight {name} is {shape}, and should have {num_axes} axes")
    try:
        vision = _vision_config(tensors)
        # Most of them tell it, so that the one that differs is named by whoever compares.
        width = statistics.mode(
            (
                tensors["ln_final.weight"].shape[0],
                tensors["token_embedding.weight"].shape[1],
                tensors["positional_embedding"].shape[1],
                tensors["text_projection"].shape[0],
            )
        )
        text = TextConfig(
            context_length=tensors["positional_embedding"].shape[0],
            vocab_size=tensors["token_embedding.weight"].shape[0],
            width=width,
            heads=max(width // HEAD_WIDTH, 1),
            layers=_count(tensors, r"transformer\.resblocks\.(\d+)\."),
            mlp_ratio=_mlp_ratio(tensors, "transformer", width),
        )
        return ClipConfig(tensors["text_projection"].shape[1], vision, text, quick_gelu)
    except KeyError as error:
        raise DataError(f"{where}: weight {error} is missing, so this is no CLIP") from None


def _vision_config(tensors: Tensors) -> VisionConfig:
    if any(name.startswith("visual.layer1.") for name in tensors):
        side = _grid_side(tensors["visual.attnpool.positional_embedding"])
        stages = (1, 2, 3, 4)
        return VisionConfig(
            image_size=side * 32,
            layers=tuple(_count(tensors, rf"visual\.layer{stage}\.(\d+)\.") for stage in stages),
            width=tensors["visual.layer1.0.conv1.weight"].shape[0],
            head_width=HEAD_WIDTH,
        )
    width, _, _, patch = tensors["visual.conv1.weight"].shape
    return VisionConfig(
        image_size=_grid_side(tensors["visual.positional_embedding"]) * patch,
        layers=_count(tensors, r"visual\.transformer\.resblocks\.(\d+)\."),
        width=width,
        head_width=min(HEAD_WIDTH, width),
        mlp_ratio=_mlp_ratio(tensors, "visual.transformer", width),
        patch_size=patch,
    )


def _mlp_ratio(tensors: Tensors, tower: str, width: int) -> float:
    return float(tensors[f"{tower}.resblocks.0.mlp.c_fc.weight"].shape[0] / width)


def _grid_side(positions: Tensor) -> int:
    side: int = round((positions.shape[0] - 1) ** 0.5)
    return side


def _count(tensors: Tensors, pattern: str) -> int:
    return len({found[1] for name in tensors if (found := re.match(pattern, name))})


def merge_lora(tensors: Tensors, mlp_lora: Literal["stored", "add"] = "stored") -> Tensors:
    """Adds low-rank updates to the weights they belong to; weights without any stay as they are.

    Layout of PAC-S++ (r = 4, alpha = 1, so updates count 1 / r): ``x.lora_A`` and ``x.lora_B``
    beside ``x.weight``, and ``in_proj_weight_lora_A``/``_B`` beside ``in_proj_weight``; a
    convolution's factors have r * kernel rows. The published score runs the MLP weights as they are
    stored, since loading marks them as merged already, and adds the updates of attention and
    convolution; ``mlp_lora="add"`` adds all, for files saved before merging.
    """
    merged = {name: value for name, value in tensors.items() if "lora_" not in name}
    for name, down in tensors.items():
        if not name.endswith("lora_A"):
            continue
        base = name.removesuffix("_lora_A") if name.endswith("_lora_A") else name[: -len("lora_A")]
        target = base if base in merged else f"{base}weight"
        if ".mlp." in name and mlp_lora == "stored":
            continue
        weight, up = merged[target].float(), tensors[name[:-1] + "B"].float()
        rank = down.shape[0] // (weight.shape[-1] if weight.dim() == 4 else 1)
        merged[target] = weight + (up @ down.float()).view(weight.shape) / rank
    return merged
