"""CLIP in transformers' layout (openai/clip-vit-base-patch32 and what is tuned from it) into ours."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import torch

from dico.errors import DataError
from dico.models.clip_config import ClipConfig

Tensors = dict[str, torch.Tensor]

MARK = "text_model.embeddings.token_embedding.weight"
"""A weight that only this layout has."""
_WHOLE = {
    "logit_scale": "logit_scale",
    MARK: "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
}
_NORMS = {
    "text_model.final_layer_norm": "ln_final",
    "vision_model.pre_layrnorm": "visual.ln_pre",
    "vision_model.post_layernorm": "visual.ln_post",
}
_TURNED = {"visual_projection.weight": "visual.proj", "text_projection.weight": "text_projection"}
_LAYER = {
    "layer_norm1": "ln_1",
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_ELSEWHERE = re.compile(r".*\.position_ids|.*\.self_attn\.[qkv]_proj\.(weight|bias)")
"""Positions are counted, and the parts of attention are merged."""
_IN_LAYER = re.compile(r"(text|vision)_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")


def is_transformers_clip(tensors: Mapping[str, Any]) -> bool:
    """Whether the names are those of transformers' ``CLIPModel``."""
    return MARK in tensors


def clip_from_transformers(tensors: Tensors, where: str) -> Tensors:
    """The weights under open_clip's names.

    Raises:
        DataError: a weight is missing or is no part of a CLIP.
    """
    ours = {
        _name(name, where): value.T.contiguous() if name in _TURNED else value
        for name, value in tensors.items()
        if not _ELSEWHERE.fullmatch(name)
    }
    return ours | _merged_attention(tensors, where)


def with_heads(config: ClipConfig, data: Mapping[str, Any]) -> ClipConfig:
    """What transformers' config.json tells and the shapes of weights do not; empty tells nothing."""
    if not data:
        return config
    vision, text = data.get("vision_config", {}), data.get("text_config", {})
    heads = int(vision.get("num_attention_heads", config.vision_cfg.width // 64))
    return dataclasses.replace(
        config,
        vision_cfg=dataclasses.replace(
            config.vision_cfg, head_width=config.vision_cfg.width // heads
        ),
        text_cfg=dataclasses.replace(
            config.text_cfg, heads=int(text.get("num_attention_heads", config.text_cfg.heads))
        ),
        quick_gelu=vision.get("hidden_act", "quick_gelu") == "quick_gelu",
    )


def _name(name: str, where: str) -> str:
    if name in _WHOLE or name in _TURNED:
        return _WHOLE.get(name) or _TURNED[name]
    stem, _, kind = name.rpartition(".")
    if stem in _NORMS:
        return f"{_NORMS[stem]}.{kind}"
    found = _IN_LAYER.fullmatch(name)
    if found is None or found[3] not in _LAYER:
        raise DataError(f"{where}: weight {name} is no part of a CLIP in transformers' layout")
    return f"{_block(found[1], found[2])}.{_LAYER[found[3]]}.{found[4]}"


def _merged_attention(tensors: Tensors, where: str) -> Tensors:
    """Queries, keys and values in one matrix."""
    merged: Tensors = {}
    for name in tensors:
        found = _IN_LAYER.fullmatch(name)
        if found is None or found[3] != "self_attn.q_proj":
            continue
        parts = [name.replace("q_proj", f"{part}_proj") for part in "qkv"]
        if missing := [part for part in parts if part not in tensors]:
            raise DataError(f"{where}: weight {missing[0]} is missing; it is of another model")
        place = f"{_block(found[1], found[2])}.attn.in_proj_{found[4]}"
        merged[place] = torch.cat([tensors[part] for part in parts])
    return merged


def _block(tower: str, index: str) -> str:
    return f"{'visual.' if tower == 'vision' else ''}transformer.resblocks.{index}"
