"""A captioner of transformers at work word by word, for the searches of `dico.decoding`.

N partial captions, B images, V vocabulary.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dico.models.packed import LogitsHead


class WordSearch:
    """What `dico.decoding` asks of a model: `step`, `select` and a head; no gradient."""

    head = LogitsHead()

    def __init__(
        self,
        num_images: int,
        pad_id: int,
        begin: Callable[[Tensor], Any],
        step: Callable[[Tensor, Tensor, Any], Tensor],
        first: Tensor | None = None,
        device: torch.device | None = None,
        start: int | None = None,
    ) -> None:
        """Starts with one caption per image.

        Args:
            num_images: B.
            pad_id: what captions that have ended are given, and no model knows.
            begin: makes a cache for captions of the images (N,).
            step: logits (N, V) after words (N,) of captions of the images (N,), with the cache.
            first: logits (B, V) of the first words, where the prompt's pass gave them.
            device: where all is.
            start: what a decoder begins with, where it is not the captions' BOS.
        """
        self._pad_id = pad_id
        self._images = torch.arange(num_images, device=device)
        self._begin, self._step, self._first, self._start = begin, step, first, start
        self._cache: Any = None

    def step(self, tokens: Tensor) -> Tensor:
        """Logits (N, V), for `head`, once each caption has taken its next token of (N,)."""
        if self._first is not None:
            first, self._first = self._first, None
            return first[self._images]  # (B, V) -> (N, V)
        if self._cache is None:
            self._cache = self._begin(self._images)
        if self._start is not None:
            tokens, self._start = torch.full_like(tokens, self._start), None
        # What follows an ended caption is never read, so any id that the model knows will do.
        tokens = tokens.masked_fill(tokens == self._pad_id, 0)
        return self._step(tokens, self._images, self._cache)

    def select(self, rows: Tensor, images: Tensor | None = None) -> None:
        """Goes on with ``rows`` (A, R) of the captions; ``images`` if images were left."""
        chosen = rows.flatten()  # (A, R) -> (N,)
        # Each image has as many captions as before, so its keys and values stay where they are.
        stay = images is None and len(chosen) == len(self._images)
        self._images = self._images[chosen]
        if self._cache is not None:
            self._cache.select(chosen, stay)


class CrossAttentionStates:
    """The cache of a decoder that looks at what an encoder made of an image.

    Attributes:
        pair: of transformers, for the forward pass.
        encoded: (N, P, D) of each caption's image.
    """

    def __init__(self, encoded: Tensor) -> None:
        from transformers.cache_utils import DynamicCache, EncoderDecoderCache

        self.pair = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self.encoded = encoded

    def select(self, rows: Tensor, same_images: bool) -> None:
        """Goes on with ``rows`` of the captions; the images' keys stay where they may."""
        self.pair.self_attention_cache.reorder_cache(rows)
        if not same_images:
            self.pair.cross_attention_cache.reorder_cache(rows)
            self.encoded = self.encoded[rows]


class WordsSoFar:
    """What stands for a cache where a model has none that can be trusted.

    Attributes:
        words: (N, T) of each caption.
    """

    def __init__(self, words: Tensor) -> None:
        self.words = words

    def select(self, rows: Tensor, _same_images: bool) -> None:
        """Goes on with ``rows`` of the captions."""
        self.words = self.words[rows]
