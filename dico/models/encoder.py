"""The captioner's encoder: projection, learned positions and post-norm GELU layers over image tokens.

Devlin et al. 2019 (arXiv 1810.04805) without a word table and a pooler; the token-type vector is
part of the positions.

B images, P image tokens, F feature width, D width, H heads.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dico.models.attention import attention, merge_heads, split_heads
from dico.models.captioner_config import CaptionerConfig
from dico.models.grid_positions import grid_positions
from dico.models.initialisation import init_normal

GRID_SCALE = 10.0
"""Amplitude of the sines that positions start from, over the standard deviation of weights: about
that of projected image tokens at first."""


class Encoder(nn.Module):
    """Projection, positions and post-norm layers over the tokens of an image."""

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.project = nn.Linear(config.feature_width, config.width)
        self.positions = nn.Parameter(torch.empty(config.num_image_positions, config.width))
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_encoder_layers))
        init_normal(self, config.initial_std)
        nn.init.normal_(self.positions, std=0.02)
        if config.image_positions == "grid":
            sines = grid_positions(config.num_image_positions, config.width)
            with torch.no_grad():
                self.positions.add_(GRID_SCALE * config.initial_std * sines)

    def forward(self, features: Tensor) -> Tensor:
        """(B, P, F) to (B, P, D)."""
        hidden: Tensor = self.project(features.to(self.project.weight.dtype))
        # (B, P, D) + (P, D): a smaller image has the first P of the learned positions.
        hidden = self.dropout(self.norm(hidden + self.positions[: features.shape[1]]))
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each added and then normed."""

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.num_heads, self.rate = config.num_heads, config.dropout
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.attention_norm = nn.LayerNorm(config.width, eps=1e-12)
        self.ffn_in = nn.Linear(config.width, config.ffn_width)
        self.ffn_out = nn.Linear(config.ffn_width, config.width)
        self.ffn_norm = nn.LayerNorm(config.width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, P, D) to (B, P, D)."""
        query, key, value = split_heads(self.qkv(hidden), 3, self.num_heads)  # (B, H, P, D / H)
        rate = self.rate if self.training else 0.0
        mixed = attention(query, key, value, dropout=rate)
        # Post-norm, as BERT: x <- LN(x + attention(x)), then x <- LN(x + W2 gelu(W1 x)).
        added = self.dropout(self.out(merge_heads(mixed)))
        hidden = self.attention_norm(hidden + added)
        added = self.dropout(self.ffn_out(F.gelu(self.ffn_in(hidden))))
        normed: Tensor = self.ffn_norm(hidden + added)
        return normed
