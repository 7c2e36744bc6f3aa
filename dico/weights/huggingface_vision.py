"""A CLIP's vision transformer as transformers' CLIPVisionModel: its settings and its weights."""

from typing import Any

from dico.errors import ConfigError
from dico.models.clip_config import ClipConfig
from dico.weights.files import Tensors

_VISION = {
    "visual.class_embedding": "embeddings.class_embedding",
    "visual.conv1.weight": "embeddings.patch_embedding.weight",
    "visual.positional_embedding": "embeddings.position_embedding.weight",
}
_VISION_NORMS = {"visual.ln_pre": "pre_layrnorm", "visual.ln_post": "post_layernorm"}
_VISION_LAYER = {
    "ln_1": "layer_norm1",
    "attn.out_proj": "self_attn.out_proj",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def clip_vision_config(clip: ClipConfig) -> dict[str, Any]:
    """A vision tower's settings under the names of transformers' ``CLIPVisionConfig``.

    Raises:
        ConfigError: it is a ResNet.
    """
    vision = clip.vision_cfg
    if vision.is_resnet:
        raise ConfigError(
            "export: the authors' layout holds vision transformers, got a ResNet of layers "
            f"{vision.layers}; keep our own folder, by Captioner.save"
        )
    return {
        "model_type": "clip_vision_model",
        "hidden_size": vision.width,
        "intermediate_size": int(vision.width * vision.mlp_ratio),
        "num_hidden_layers": vision.layers,
        "num_attention_heads": vision.width // vision.head_width,
        "image_size": vision.image_size,
        "patch_size": vision.patch_size,
        "projection_dim": clip.embed_dim,
        "hidden_act": "quick_gelu" if clip.quick_gelu else "gelu",
    }


def vision_to_huggingface(clip: ClipConfig, tensors: Tensors) -> Tensors:
    """A vision tower's weights (``visual.*``) under transformers' names, without the projection."""
    assert isinstance(clip.vision_cfg.layers, int)
    theirs = {name: tensors[ours] for ours, name in _VISION.items()}
    for kind in ("weight", "bias"):
        for ours, name in _VISION_NORMS.items():
            theirs[f"{name}.{kind}"] = tensors[f"{ours}.{kind}"]
        for index in range(clip.vision_cfg.layers):
            block, layer = f"visual.transformer.resblocks.{index}", f"encoder.layers.{index}"
            for ours, name in _VISION_LAYER.items():
                theirs[f"{layer}.{name}.{kind}"] = tensors[f"{block}.{ours}.{kind}"]
            merged = tensors[f"{block}.attn.in_proj_{kind}"].chunk(3)
            for part, value in zip("qkv", merged, strict=True):
                theirs[f"{layer}.self_attn.{part}_proj.{kind}"] = value
    return theirs
