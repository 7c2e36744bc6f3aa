"""Incremental decoding: the decoder at work token by token, for every search.

B images, A images that go on, R rows (partial captions) per image, N = B * R, E cached
tokens per image, D width, H heads.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from dico.models.attention import attention, merge_heads, split_heads, use_explicit_matmul
from dico.models.decoder import CrossKV, Decoder, DecoderLayer
from dico.models.packed import Linear, LMHead, packed_linear


class DecoderCache:
    """KV cache for incremental decoding, no gradient.

    Each of the B images has the same number R of rows, partial captions, side by side. Keys
    and values of an image are computed once and shared by its rows. Self-attention keys and values
    are append-only per image: the additive mask says which cached tokens belong to which row, so
    that reordering beams copies nothing. Weights are packed where that pays.
    """

    def __init__(self, decoder: Decoder, memory: Tensor, max_nodes: int) -> None:
        """Starts with one row per image.

        Args:
            decoder: the trained decoder, in eval mode.
            memory: of `Captioner.encode` or `Captioner.encode_kv`.
            max_nodes: most tokens per image, over all of its rows.
        """
        self.head = LMHead(decoder.token_embedding.weight)
        self._decoder, self._num_heads = decoder, decoder.num_heads
        self._layers = [_PackedLayer(layer) for layer in decoder.blocks()]
        self._images = self._cross_kv(memory)
        self._images_are_own = memory.dim() == 3 or use_explicit_matmul(memory)
        head_width = decoder.token_embedding.embedding_dim // decoder.num_heads
        shape = (2, len(memory), decoder.num_heads, max_nodes, head_width)  # keys and values
        self._past = [memory.new_empty(shape) for _ in self._layers]
        self._mask = memory.new_zeros((len(memory), 1, 0))  # (B, R, tokens so far): 0 or -inf
        self._length = 0

    def _cross_kv(self, memory: Tensor) -> CrossKV:
        """Cross-attention keys and values of each layer, in the layout that `attention` reads fastest."""
        if memory.dim() > 3:
            images = self._decoder.cross_kv(memory)
        else:
            layers = self._layers
            images = [layer.norms.cross_kv(memory, layer.cross_key_value) for layer in layers]
        if use_explicit_matmul(memory):
            images = [(_in_one_block(key), _in_one_block(value)) for key, value in images]
        return images

    def step(self, tokens: Tensor) -> Tensor:
        """States (N, D), for `head`, once each row has taken its next token of (N,)."""
        num_images, num_rows, _ = self._mask.shape
        own = torch.eye(num_rows, dtype=torch.bool, device=tokens.device)
        # Each row sees its own new token and none of the other rows': (R, R) for every image.
        others = self._mask.new_zeros(own.shape).masked_fill(~own, -torch.inf)
        others = others.expand(num_images, -1, -1)
        self._mask = torch.cat([self._mask, others], dim=-1)  # (B, R, t R) -> (B, R, (t + 1) R)
        hidden = self._decoder.token_embedding(tokens) + self._decoder.positions[self._length]
        for layer, past, image in zip(self._layers, self._past, self._images, strict=True):
            hidden = self._layer(layer, hidden, past, image)
        self._length += 1
        state: Tensor = self._decoder.norm(hidden)
        return state

    def select(self, rows: Tensor, images: Tensor | None = None) -> None:
        """Goes on with ``rows`` of the captions, and with ``images`` of the images if given.

        Args:
            rows: (A, R) rows of each image that goes on; one may be chosen several times.
            images: (A,) images that go on; all, if not given. One that stays in its place costs
                nothing; one whose new place is another's is moved there.
        """
        # (B * R, E) -> (A, R', E): rows take their history along.
        self._mask = self._mask.flatten(0, 1)[rows]
        if images is None:
            return
        self._past = [_moved(past, 1, images) for past in self._past]
        if self._images_are_own:
            self._images = [(_moved(k, 0, images), _moved(v, 0, images)) for k, v in self._images]
        else:
            self._images = [(key[images], value[images]) for key, value in self._images]
            self._images_are_own = True

    def _layer(
        self, layer: "_PackedLayer", hidden: Tensor, past: Tensor, image: tuple[Tensor, Tensor]
    ) -> Tensor:
        norms, (num_images, num_rows, end) = layer.norms, self._mask.shape
        merged = layer.self_qkv(norms.self_norm(hidden))  # (N, 3 D)
        merged = merged.view(num_images, num_rows, -1)  # (B, R, 3 D)
        query, key, value = split_heads(merged, 3, self._num_heads)  # (B, H, R, D / H)
        # past is (2, B, H, E, D / H); the R new tokens take the next R places.
        past[0, :, :, end - num_rows : end] = key
        past[1, :, :, end - num_rows : end] = value
        mask = self._mask[:, None]  # (B, 1, R, E)
        mixed = attention(query, past[0, :, :, :end], past[1, :, :, :end], mask)
        hidden = hidden + layer.self_out(merge_heads(mixed).flatten(0, 1))  # (B, R, D) -> (N, D)
        query = layer.cross_query(norms.cross_norm(hidden)).view(num_images, num_rows, -1)
        (query,) = split_heads(query, 1, self._num_heads)  # (B, R, D) -> (B, H, R, D / H)
        mixed = attention(query, *image)  # keys and values (B, H, P, D / H)
        hidden = hidden + layer.cross_out(merge_heads(mixed).flatten(0, 1))  # (N, D)
        return hidden + layer.ffn_out(layer.ffn_in(norms.ffn_norm(hidden)))


class _PackedLayer:
    """The products of a decoder layer, packed where that pays, and the layer for its norms.

    ``ffn_in`` has the layer's GELU in it.
    """

    def __init__(self, layer: DecoderLayer) -> None:
        self.norms = layer
        for name, linear in layer.named_children():
            if isinstance(linear, nn.Linear):
                after: Literal["none", "gelu"] = "gelu" if name == "ffn_in" else "none"
                setattr(self, name, packed_linear(linear.weight, linear.bias, after))

    self_qkv: Linear
    self_out: Linear
    cross_query: Linear
    cross_key_value: Linear
    cross_out: Linear
    ffn_in: Linear
    ffn_out: Linear


def _in_one_block(values: Tensor) -> Tensor:
    return values.clone(memory_format=torch.contiguous_format)


def _moved(values: Tensor, dim: int, chosen: Tensor) -> Tensor:
    """``values.index_select(dim, chosen)``, made in the memory of ``values``."""
    count = len(chosen)
    # Only images whose new place is another's are copied.
    places = (chosen != torch.arange(count, device=chosen.device)).nonzero()[:, 0]
    kept = values.narrow(dim, 0, count)
    return kept.index_copy_(dim, places, values.index_select(dim, chosen[places]))
