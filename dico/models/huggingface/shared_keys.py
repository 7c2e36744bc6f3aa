"""Keys and values of prompts in front of their captions, of which a graph keeps no copies.

Each of K captions attends to a copy of its prompt's keys and values. All layers' copies, kept for the
backward pass, would be most of what a pass over captions holds: here the graph keeps the prompts' own
and the words', and copies are made again where the backward pass reads them, equal to the bit.

B prompts, N = B * K captions, H heads, P prompt tokens, T caption tokens, D width of a head.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer

_Again: TypeAlias = Callable[[], Tensor]


class Copies:
    """The copies that a pass over captions has made last, and how to make them again."""

    def __init__(self) -> None:
        self._last: deque[tuple[Tensor, _Again]] = deque(maxlen=2)  # of one layer

    def make(self, prompts: Tensor, words: Tensor) -> Tensor:
        """Keys or values (N, H, P + T, D) of ``prompts`` (B, H, P, D) and ``words`` (N, H, T, D)."""
        made = _joined(prompts, words)
        self._last.append((made, partial(_joined, prompts.detach(), words.detach())))
        return made

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """Within it a graph that saves a copy, or part of one, saves how to make it again."""
        with torch.autograd.graph.saved_tensors_hooks(self._pack, _unpack):
            yield
        self._last.clear()

    def _pack(self, saved: Tensor) -> Tensor | _Again:
        for made, again in self._last:
            if saved.untyped_storage().data_ptr() == made.untyped_storage().data_ptr():
                layout = saved.shape, saved.stride(), saved.storage_offset()
                return lambda: again().as_strided(*layout)
            if _is_repeated(saved, made):  # by a group of query heads that share keys
                times = saved.shape[1] // made.shape[1]
                return lambda: again().repeat_interleave(times, dim=1)
        return saved


class SharedLayer(DynamicLayer):  # type: ignore[misc]
    """A layer of keys and values (B, H, P, D) of prompts; an update changes nothing in it."""

    def __init__(self, layer: Any, num_captions: int, copies: Copies) -> None:
        """``num_captions`` N, those of a prompt side by side, stand behind the prompts."""
        self._keys, self._values, self._copies = layer.keys, layer.values, copies
        self._num_captions = num_captions
        self.dtype, self.device, self.is_initialized = layer.keys.dtype, layer.keys.device, True

    @property
    def keys(self) -> Tensor:
        """The prompts' keys, once a caption."""
        return self._copies.make(self._keys, self._no_words(self._keys))

    @property
    def values(self) -> Tensor:
        """The prompts' values, once a caption."""
        return self._copies.make(self._values, self._no_words(self._values))

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """All keys and values, these last."""
        keys = self._copies.make(self._keys, key_states)
        return keys, self._copies.make(self._values, value_states)

    def get_seq_length(self) -> int:
        """Prompt tokens P."""
        length: int = self._keys.shape[-2]
        return length

    def _no_words(self, prompts: Tensor) -> Tensor:
        return prompts.new_empty(self._num_captions, prompts.shape[1], 0, prompts.shape[-1])


def _joined(prompts: Tensor, words: Tensor) -> Tensor:
    """``prompts`` (B, H, P, D) in front of ``words`` (N, H, T, D): (N, H, P + T, D)."""
    num_captions = len(words) // len(prompts)
    words = words.view(len(prompts), num_captions, *words.shape[1:])  # (B, K, H, T, D)
    repeated = prompts[:, None].expand(-1, num_captions, -1, -1, -1)  # (B, K, H, P, D)
    return torch.cat([repeated, words], dim=-2).flatten(0, 1)


def _is_repeated(saved: Tensor, made: Tensor) -> bool:
    """Whether ``saved`` (N, H * R, P + T, D) is ``made``, each head R > 1 times."""
    if saved.dim() != 4 or saved.shape[1] <= made.shape[1] or saved.shape[1] % made.shape[1]:
        return False
    if saved.shape[::2] != made.shape[::2] or saved.shape[3] != made.shape[3]:
        return False
    heads = saved.reshape(len(made), made.shape[1], -1, *made.shape[2:])
    return saved.dtype == made.dtype and torch.equal(heads, made[:, :, None].expand_as(heads))


def _unpack(kept: Tensor | _Again) -> Tensor:
    return kept if isinstance(kept, Tensor) else kept()
