"""KV states of a prompt: computed once, read by every caption, never changed.

A cache of transformers is overwritten as it grows. These caches are not, so that several captions,
several passes and a backward pass may start from one prompt; and a layer that activation
checkpointing runs again finds what it found the first time.

B prompts, N captions, P prompt tokens, T caption tokens.
"""

import copy
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from dico.models.huggingface.shared_keys import Copies, SharedLayer

_STATES = ("conv_states", "recurrent_states")
_FLAGS = ("is_conv_states_initialized", "is_recurrent_states_initialized", "has_previous_state")


class _UnchangedCache(DynamicCache):  # type: ignore[misc]
    """A cache whose ``layers`` stay as they are: each update is made in the layer of `_target`."""

    def _target(self, index: int, *_what: Any) -> Any:
        """The layer that an update of layer ``index`` changes."""
        raise NotImplementedError

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """All keys and values of a layer, these last."""
        layer = self._target(layer_idx, "keys")
        updated: tuple[Tensor, Tensor] = layer.update(key_states, value_states, *args, **kwargs)
        return updated

    def update_conv_state(
        self, conv_states: Tensor, layer_idx: int, state_idx: int = 0, **kwargs: Any
    ) -> Tensor:
        """What a convolution sees, these columns last."""
        layer = self._target(layer_idx, "convolution", state_idx)
        updated: Tensor = layer.update_conv_state(conv_states, state_idx, **kwargs)
        return updated

    def update_recurrent_state(
        self, recurrent_states: Tensor, layer_idx: int, state_idx: int = 0, **kwargs: Any
    ) -> Tensor:
        """The state itself: what follows is computed from it, not from a buffer."""
        layer = self._target(layer_idx, "recurrence", state_idx)
        layer.update_recurrent_state(recurrent_states, state_idx, **kwargs)
        return recurrent_states

    def update_indexer(self, indexer_key_states: Tensor, layer_idx: int) -> Tensor:
        """All keys of a sparse attention's index, these last."""
        layer = self._target(layer_idx, "index")
        updated: Tensor = layer.update_indexer(indexer_key_states)
        return updated


class RecordedStates(_UnchangedCache):
    """Empty for the pass over a prompt, which it records in ``recorded``."""

    def __init__(self, config: Any) -> None:
        super().__init__(config=config)
        self.recorded = [copy_layer(layer) for layer in self.layers]
        self._seen: set[tuple[Any, ...]] = set()

    def _target(self, index: int, *what: Any) -> Any:
        while len(self.layers) <= index:  # a model whose config does not list its layers
            self.layers.append(DynamicLayer())
            self.recorded.append(DynamicLayer())
        if (index, *what) in self._seen:  # activation checkpointing runs the layer again
            return copy_layer(self.layers[index])
        self._seen.add((index, *what))
        return self.recorded[index]


class SharedStates(_UnchangedCache):
    """A recorded prompt in front of N captions of T tokens that are read in one pass."""

    def __init__(self, recorded: Sequence[Any], rows: Tensor) -> None:
        """``rows`` (N,) are the prompts before the captions; those of a prompt are side by side."""
        super().__init__()
        self.copies = Copies()
        self.layers = [_shared(layer, rows, self.copies) for layer in recorded]
        self.layer_class_to_replicate = None

    def _target(self, index: int, *_what: Any) -> Any:
        layer = self.layers[index]
        return layer if isinstance(layer, SharedLayer) else copy_layer(layer)


class GrowingStates(DynamicCache):  # type: ignore[misc]
    """A recorded prompt in front of captions that grow word by word, without gradient.

    The keys and values of a prompt are written once and stay where they are: going on with other
    captions of the same image moves only what their words added.
    """

    def __init__(self, recorded: Sequence[Any], rows: Tensor, num_words: int) -> None:
        """``rows`` (N,) are the prompts before the captions, which have room for ``num_words``."""
        super().__init__()
        self.layer_class_to_replicate = None
        self.layers = [_growing(layer, rows, num_words) for layer in recorded]

    def select(self, rows: Tensor, same_prompts: bool) -> None:
        """Goes on with ``rows`` (N',), each behind the prompt that was there if ``same_prompts``."""
        for layer in self.layers:
            if isinstance(layer, _GrowingLayer):
                layer.select(rows, same_prompts)
            else:
                layer.reorder_cache(rows)


class _GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values (N, H, P + T, D) of attention to all that came before."""

    def __init__(self, layer: Any, rows: Tensor, num_words: int) -> None:
        super().__init__()
        self.num_prompt = self.length = layer.keys.shape[-2]
        self.buffers = [_with_room(x, rows, num_words) for x in (layer.keys, layer.values)]
        self.dtype, self.device = layer.keys.dtype, layer.keys.device
        self.is_initialized = True
        self._expose()

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """All keys and values, these last."""
        start, self.length = self.length, self.length + key_states.shape[-2]
        for buffer, new in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[..., start : self.length, :] = new
        self._expose()
        return self.keys, self.values

    def select(self, rows: Tensor, same_prompts: bool) -> None:
        """See `GrowingStates.select`."""
        for place, buffer in enumerate(self.buffers):
            if same_prompts:
                words = buffer[..., self.num_prompt : self.length, :]
                words.copy_(words[rows])
            else:
                self.buffers[place] = buffer[rows]
        self._expose()

    def _expose(self) -> None:
        self.keys, self.values = (buffer[..., : self.length, :] for buffer in self.buffers)


def copy_layer(layer: Any) -> Any:
    """A layer of a cache that can be updated with no change to ``layer``."""
    new = copy.copy(layer)
    for name in _STATES:  # these are written to in place
        if hasattr(layer, name):
            states = getattr(layer, name)
            setattr(new, name, {i: None if x is None else x.clone() for i, x in states.items()})
    for name in _FLAGS:
        if hasattr(layer, name):
            setattr(new, name, dict(getattr(layer, name)))
    return new


def selected_layer(layer: Any, rows: Tensor) -> Any:
    """A copy of ``layer`` with ``rows`` of its batch, each as often as it is named."""
    new = copy_layer(layer)
    new.reorder_cache(rows)  # in every kind of layer an index_select, which may also repeat
    return new


def _shared(layer: Any, rows: Tensor, copies: Copies) -> Any:
    if _is_plain(layer):
        return SharedLayer(layer, len(rows), copies)
    return selected_layer(layer, rows)


def _is_plain(layer: Any) -> bool:
    """Whether a layer holds keys and values of all that came before, and nothing else."""
    return type(layer) is DynamicLayer and layer.get_seq_length() > 0


def _growing(layer: Any, rows: Tensor, num_words: int) -> Any:
    if _is_plain(layer):
        return _GrowingLayer(layer, rows, num_words)
    return selected_layer(layer, rows)


def _with_room(states: Tensor, rows: Tensor, num_words: int) -> Tensor:
    """Rows of ``states`` (B, H, P, D) in front of room for words: (N, H, P + num_words, D)."""
    _, num_heads, length, width = states.shape
    buffer = states.new_empty(len(rows), num_heads, length + num_words, width)
    buffer[..., :length, :] = states[rows]
    return buffer
