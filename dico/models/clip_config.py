"""Sizes of a CLIP model and of its towers, by open_clip's names."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dico.configuration.schema import check
from dico.errors import ConfigError


@dataclass(frozen=True)
class VisionConfig:
    """The vision tower, by open_clip's names."""

    image_size: int = 224
    """Side of the square input, pixels."""
    layers: int | tuple[int, ...] = 12
    """Transformer blocks; four numbers make it CLIP's ResNet, fewer a plain tower of that many
    stages (`dico.models.plain_tower`), which is not open_clip's."""
    width: int = 768
    """Width of an image token."""
    head_width: int = 64
    """Width of one attention head."""
    mlp_ratio: float = 4.0
    """Width of the MLP over the width of a token."""
    patch_size: int = 32
    """Side of a patch, pixels (transformers only)."""

    def __post_init__(self) -> None:
        if isinstance(self.layers, int):
            fits = self.image_size % self.patch_size == 0
            check(fits, "image_size", self.image_size, f"must be a multiple of {self.patch_size}")
            check(self.width % self.head_width == 0, "width", self.width, "must hold whole heads")

    @property
    def is_resnet(self) -> bool:
        """Whether the tower is CLIP's ResNet."""
        return not isinstance(self.layers, int) and len(self.layers) == 4

    @property
    def stride(self) -> int:
        """Side of the part of the image that a token stands for, pixels."""
        if isinstance(self.layers, int):
            return self.patch_size
        return 32 if self.is_resnet else 1 << len(self.layers)

    @property
    def num_tokens(self) -> int:
        """Image tokens P: the class token and the patches, or the grid of convolutions."""
        side = self.image_size // self.stride
        return side * side + isinstance(self.layers, int)

    @property
    def token_width(self) -> int:
        """Width of an image token handed to a captioner."""
        if isinstance(self.layers, int):
            return self.width
        return self.width * 32 if self.is_resnet else self.width << len(self.layers)


@dataclass(frozen=True)
class TextConfig:
    """The text tower, by open_clip's names."""

    context_length: int = 77
    """Longest text, tokens."""
    vocab_size: int = 49408
    """Ids of the tower: the tokenizer's without PAD."""
    width: int = 512
    """Width of a text token."""
    heads: int = 8
    """Attention heads."""
    layers: int = 12
    """Transformer blocks."""
    mlp_ratio: float = 4.0
    """Width of the MLP over the width of a token."""

    def __post_init__(self) -> None:
        check(self.width % self.heads == 0, "width", self.width, "must hold whole heads")


@dataclass(frozen=True)
class ClipConfig:
    """A CLIP model, as in open_clip's model_configs/*.json."""

    embed_dim: int = 512
    """Width E of the shared embedding."""
    vision_cfg: VisionConfig = VisionConfig()
    """The vision tower."""
    text_cfg: TextConfig = TextConfig()
    """The text tower."""
    quick_gelu: bool = False
    """x * sigmoid(1.702 x) for GELU: OpenAI's weights need it."""

    @property
    def image_size(self) -> int:
        """Side of the square that it sees, pixels."""
        return self.vision_cfg.image_size

    @property
    def num_tokens(self) -> int:
        """Image tokens P."""
        return self.vision_cfg.num_tokens

    @property
    def token_width(self) -> int:
        """Width of an image token."""
        return self.vision_cfg.token_width

    @property
    def context_length(self) -> int:
        """Longest text, tokens."""
        return self.text_cfg.context_length

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ClipConfig":
        """Reads open_clip's JSON.

        Raises:
            ConfigError: a setting that this CLIP does not implement.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(data) - known):
            raise ConfigError(f"clip: setting {unknown[0]!r} is not supported; known are {known}")
        vision = dict(data.get("vision_cfg", {}))
        if vision.get("patch_size", 0) is None:
            del vision["patch_size"]
        if isinstance(vision.get("layers"), list):
            vision["layers"] = tuple(vision["layers"])
        try:
            return cls(
                embed_dim=data.get("embed_dim", 512),
                vision_cfg=VisionConfig(**vision),
                text_cfg=TextConfig(**data.get("text_cfg", {})),
                quick_gelu=data.get("quick_gelu", False),
            )
        except TypeError as error:
            raise ConfigError(f"clip: {str(error).split(') ')[-1]}") from None

    def to_dict(self) -> dict[str, Any]:
        """Keyword arguments of open_clip's ``CLIP`` and the content of its JSON."""
        return dataclasses.asdict(self)
