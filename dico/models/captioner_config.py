"""Sizes of a captioner; apart from the captioner, because reading settings needs no torch."""

import dataclasses
from dataclasses import dataclass
from typing import Literal, TypeVar

from dico.config_schema import check

T = TypeVar("T", "CaptionerConfig", "HuggingFaceConfig")


@dataclass(frozen=True)
class CaptionerConfig:
    """Sizes of a captioner; the defaults are the paper's, for CLIP ViT-L/14."""

    feature_width: int = 1024
    """Width F of an image token (1024 for ViT-L/14)."""
    num_image_positions: int = 512
    """Rows of the encoder's table of positions: at least P (512 in the reference's BERT)."""
    num_text_positions: int = 1024
    """Rows of the decoder's table of positions: at least T (1024 in the reference's GPT-2)."""
    vocab_size: int = 49409
    """Ids V, PAD included; BOS, EOS and PAD are the last three."""
    width: int = 512
    """Width D of the encoder and the decoder."""
    num_encoder_layers: int = 3
    """Layers of the encoder; 0 leaves image tokens projected, with their positions."""
    num_decoder_layers: int = 3
    """Layers of the decoder."""
    num_heads: int = 8
    """Attention heads H of every layer."""
    ffn_width: int = 2048
    """Hidden width of every feed-forward network."""
    dropout: float = 0.1
    """Share of activations and of attention dropped in training, 0 to 1."""

    def __post_init__(self) -> None:
        """Checks ranges."""
        for field in dataclasses.fields(CaptionerConfig):
            value = getattr(self, field.name)
            if field.name not in ("dropout", "num_encoder_layers"):
                check(value > 0, field.name, value, "must be positive")
        layers = self.num_encoder_layers
        check(layers >= 0, "num_encoder_layers", layers, "must not be negative")
        check(0 <= self.dropout < 1, "dropout", self.dropout, "must be from 0 to below 1")
        check(self.width % self.num_heads == 0, "width", self.width, "must hold whole heads")


@dataclass(frozen=True)
class HuggingFaceConfig:
    """A captioner of the transformers library, and how much of it is trained."""

    checkpoint: str = ""
    """Local folder of the model in transformers' layout, with safetensors, tokenizer and image
    processor."""
    prompt: str = ""
    """Text before the caption, for a decoder-only model: its image's place spelt out, such as
    ``USER: <image> Describe the picture. ASSISTANT:``."""
    freeze_image_encoder: bool = False
    """Leaves the vision tower as it is when all weights are trained."""
    lora_rank: int = 0
    """Rank of low-rank adapters, which alone are trained; 0 trains all weights."""
    lora_alpha: float = 16.0
    """An adapter's output is scaled by this over its rank."""
    lora_dropout: float = 0.0
    """Share of an adapter's inputs dropped in training, 0 to 1."""
    lora_targets: tuple[str, ...] = ()
    """Names that adapted modules end in, such as ``q_proj``; all linear ones but the head if empty.
    Modules that share their weights with others are left out."""

    def __post_init__(self) -> None:
        """Checks ranges."""
        check(self.lora_rank >= 0, "lora_rank", self.lora_rank, "must not be negative")
        check(self.lora_alpha > 0, "lora_alpha", self.lora_alpha, "must be positive")
        rate = self.lora_dropout
        check(0 <= rate < 1, "lora_dropout", rate, "must be from 0 to below 1")


@dataclass(frozen=True)
class CaptionerSettings(HuggingFaceConfig, CaptionerConfig):
    """Which captioner is trained: the paper's, by its sizes, or one of transformers, by its folder.

    Each reads its own settings and leaves the other's alone.
    """

    architecture: Literal["paper", "huggingface"] = "paper"
    """``paper`` starts from random weights and reads stored features; ``huggingface`` starts from
    ``checkpoint`` and sees the pictures' pixels."""

    def __post_init__(self) -> None:
        """Checks ranges."""
        CaptionerConfig.__post_init__(self)
        HuggingFaceConfig.__post_init__(self)
        wanted = self.architecture == "huggingface"
        check(bool(self.checkpoint) >= wanted, "checkpoint", self.checkpoint, "must name a folder")

    def sizes(self) -> CaptionerConfig:
        """The paper's captioner's part."""
        return _part(self, CaptionerConfig)

    def huggingface(self) -> HuggingFaceConfig:
        """The transformers captioner's part."""
        return _part(self, HuggingFaceConfig)


def _part(settings: CaptionerSettings, kind: type[T]) -> T:
    names = [field.name for field in dataclasses.fields(kind)]
    return kind(**{name: getattr(settings, name) for name in names})
