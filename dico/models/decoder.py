"""The captioner's decoder: causal pre-norm layers with cross-attention to the image.

Radford et al. 2019 (GPT-2) with cross-attention in each layer; GELU by tanh, the token embedding
tied to the output head.

B images, K captions per image, N = B * K captions, R nodes of a prefix tree, T tokens, P image
tokens, D width, H heads, L layers.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dico.models.attention import attention, merge_heads, split_heads
from dico.models.captioner_config import CaptionerConfig
from dico.models.initialisation import init_normal
from dico.models.packed import Linear
from dico.models.prefix_tree import PrefixTree

CrossKV = list[tuple[Tensor, Tensor]]
"""Cross-attention keys and values (B, H, P, D / H) of each layer."""


class Decoder(nn.Module):
    """Token embedding and positions, pre-norm layers with cross-attention, and a last norm."""

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Parameter(torch.empty(config.num_text_positions, config.width))
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_decoder_layers))
        self.norm = nn.LayerNorm(config.width)
        init_normal(self, config.initial_std)
        nn.init.normal_(self.positions, std=0.02)
        branch = config.initial_std * (2 * config.num_decoder_layers) ** -0.5
        for layer in self.blocks():
            for linear in (layer.self_out, layer.cross_out, layer.ffn_out):
                nn.init.normal_(linear.weight, std=branch)

    def blocks(self) -> list["DecoderLayer"]:
        """The layers, first to last."""
        return cast(list[DecoderLayer], list(self.layers))

    def forward(self, memory: Tensor, words: Tensor) -> Tensor:
        """States (N, T, D) of captions' word vectors (N, T, D) over ``memory``."""
        hidden = self.dropout(words + self.positions[: words.shape[1]])
        for layer, image in zip(self.blocks(), self.cross_kv(memory), strict=True):
            hidden = layer(hidden, image)
        normed: Tensor = self.norm(hidden)
        return normed

    def cross_kv(self, memory: Tensor) -> CrossKV:
        """Cross-attention keys and values of each layer, from `Captioner.encode` or `Captioner.encode_kv`."""
        if memory.dim() > 3:  # (B, L, 2, H, P, D / H): projected already
            return [(image[:, 0], image[:, 1]) for image in memory.unbind(1)]
        return [layer.cross_kv(memory) for layer in self.blocks()]

    def forward_tree(self, memory: Tensor, tree: PrefixTree, words: Tensor) -> Tensor:
        """States (R, D) of the nodes of a prefix tree.

        Args:
            memory: of the tree's B images.
            tree: candidates of these images.
            words: (R, D) vectors of ``tree.tokens``.
        """
        hidden = self.dropout(words + self.positions[tree.depths])
        for layer, image in zip(self.blocks(), self.cross_kv(memory), strict=True):
            hidden = layer(hidden, image, tree)
        normed: Tensor = self.norm(hidden)
        return normed


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention and a feed-forward network, each on a normed input."""

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.num_heads, self.rate = config.num_heads, config.dropout
        self.self_norm = nn.LayerNorm(config.width)
        self.self_qkv = nn.Linear(config.width, 3 * config.width)
        self.self_out = nn.Linear(config.width, config.width)
        self.cross_norm = nn.LayerNorm(config.width)
        self.cross_query = nn.Linear(config.width, config.width)
        self.cross_key_value = nn.Linear(config.width, 2 * config.width)
        self.cross_out = nn.Linear(config.width, config.width)
        self.ffn_norm = nn.LayerNorm(config.width)
        self.ffn_in = nn.Linear(config.width, config.ffn_width)
        self.ffn_out = nn.Linear(config.ffn_width, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def cross_kv(self, memory: Tensor, product: Linear | None = None) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, P, D / H) of ``memory`` (B, P, D), by a packed product if given."""
        merged = (product or self.cross_key_value)(memory)  # (B, P, 2 D)
        key, value = split_heads(merged, 2, self.num_heads)
        return key, value

    def forward(
        self, hidden: Tensor, image: tuple[Tensor, Tensor], tree: PrefixTree | None = None
    ) -> Tensor:
        """(N, T, D) to (N, T, D), causal; or (R, D) to (R, D), nodes looking at their ancestors.

        Args:
            hidden: the stream.
            image: of `cross_kv`, for B images: N / B rows each, or those of the tree.
            tree: whose nodes the rows are, if they are.
        """
        merged = self.self_qkv(self.self_norm(hidden))  # (N, T, 3 D) or (R, 3 D)
        hidden = hidden + self.dropout(self.self_out(self._self_attention(merged, tree)))
        asked = self.cross_query(self.cross_norm(hidden))
        hidden = hidden + self.dropout(self.cross_out(self._cross_attention(asked, image, tree)))
        return hidden + self.feed_forward(hidden)

    def _self_attention(self, merged: Tensor, tree: PrefixTree | None) -> Tensor:
        """Self-attention by queries, keys and values (..., 3 D)."""
        rows = tree.by_image(merged) if tree else merged  # (B, M, 3 D) or (N, T, 3 D)
        query, key, value = split_heads(rows, 3, self.num_heads)
        mask = tree.mask[:, None] if tree else None  # (B, 1, M, M): a node's ancestors and itself
        mixed = attention(query, key, value, mask, self._rate(), is_causal=tree is None)
        return tree.by_node(merge_heads(mixed)) if tree else merge_heads(mixed)

    def _cross_attention(
        self, asked: Tensor, image: tuple[Tensor, Tensor], tree: PrefixTree | None
    ) -> Tensor:
        """Cross-attention of queries (..., D); the rows of one image attend together."""
        num_images, width = len(image[0]), asked.shape[-1]
        # (B, M, D), or (B, K * T, D): the K captions of an image share its keys and values.
        # (B, R, D): the rows of an image side by side, so that its keys are read once for all of them.
        rows = tree.by_image(asked) if tree else asked.reshape(num_images, -1, width)
        (query,) = split_heads(rows, 1, self.num_heads)
        mixed = attention(query, *image, dropout=self._rate())
        found = merge_heads(mixed)
        # (B, M, D) -> (R, D), or (B, K * T, D) -> (N, T, D)
        return tree.by_node(found) if tree else found.reshape(asked.shape)  # as it came

    def feed_forward(self, hidden: Tensor) -> Tensor:
        """What the feed-forward network adds to states (..., D)."""
        inner = F.gelu(self.ffn_in(self.ffn_norm(hidden)), approximate="tanh")
        added: Tensor = self.dropout(self.ffn_out(inner))
        return added

    def _rate(self) -> float:
        return self.rate if self.training else 0.0
