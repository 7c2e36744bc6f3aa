"""Sizes of a captioner; apart from the captioner, because reading settings needs no torch."""

import dataclasses
from dataclasses import dataclass

from dico.config_schema import check


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
    """Layers of the encoder."""
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
        for name, value in dataclasses.asdict(self).items():
            if name != "dropout":
                check(value > 0, name, value, "must be positive")
        check(0 <= self.dropout < 1, "dropout", self.dropout, "must be from 0 to below 1")
        check(self.width % self.num_heads == 0, "width", self.width, "must hold whole heads")
