"""Matrix products whose weights are laid out once for the machine, for search on a CPU.

A decoder step multiplies a few rows by large matrices; a plain product then spends much of its time
rearranging the weights. oneDNN can keep them arranged. Float32 and bfloat16 on a CPU; anywhere
else, or where this torch has no such operators, plain products are used. Where the CPU has no
instructions for bfloat16, float32 products of the same values, rounded alike, take several times
less time than torch's own. No gradient.

N rows, D width, V vocabulary.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary

LEAST_VALUES = 1 << 17
"""Smaller weights stay plain: the products are too short to gain."""
CHUNK = 8192
"""Words per part of the output head, so that their logits stay in a core's cache."""
GROUP = 64
"""Words among which the likeliest are sought first by their common maximum."""

_packed_weights: Any = WeakIdKeyDictionary()
Linear = Callable[[Tensor], Tensor]


def packed_linear(weight: Tensor, bias: Tensor | None = None) -> Linear:
    """The product ``x @ weight.T + bias`` as a function of x (N, D), packed where that pays."""
    dtype = product_dtype(weight)
    if not _can_pack(weight, dtype):
        return lambda x: F.linear(x, weight, bias)
    inner = _inner_dtype(dtype)
    added = None if bias is None else in_dtype(bias, dtype).to(inner)
    (packed,) = _packs(in_dtype(weight, dtype), inner, weight.shape[0])
    return lambda x: _product(x.to(dtype).to(inner), packed, added).to(dtype)


def product_dtype(weight: Tensor) -> torch.dtype:
    """The dtype of products with ``weight`` (on its device): autocast's, or its own."""
    device = weight.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return weight.dtype


def in_dtype(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """``weight`` itself where it has the dtype, so that its packed form is found again."""
    return weight if weight.dtype == dtype else weight.detach().to(dtype)


class Head:
    """The output head: log-probabilities of words, without keeping the logits of all of them."""

    def __init__(self, weight: Tensor) -> None:
        dtype = product_dtype(weight)
        weight = in_dtype(weight, dtype)
        self.weight = weight.detach()
        self._parts: list[Linear]
        if _can_pack(weight, dtype):
            inner = _inner_dtype(dtype)
            packs = _packs(weight, inner, CHUNK)
            self._parts = [lambda x, p=p: _product(x.to(inner), p, None).to(dtype) for p in packs]  # type: ignore[misc]
            self._size = CHUNK
        else:
            self._parts = [lambda x: F.linear(x, self.weight)]
            self._size = weight.shape[0]

    def parts(self, hidden: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Logits (N, some words), float32, of states (N, D), part by part, and each first word."""
        for index, part in enumerate(self._parts):
            yield index * self._size, part(hidden.to(self.weight.dtype)).float()

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (N, V), float32, of states (N, D)."""
        return torch.cat([logits for _, logits in self.parts(hidden)], dim=-1)

    def best(self, hidden: Tensor, count: int, excluded: list[int]) -> tuple[Tensor, Tensor]:
        """The ``count`` likeliest words of each state: log-probabilities and ids (N, count).

        Args:
            hidden: (N, D).
            count: how many, best first.
            excluded: ids that may not be chosen; their probability is theirs all the same.
        """
        values, words, sums = [], [], []
        for first, logits in self.parts(hidden):
            here = [word - first for word in excluded if first <= word < first + logits.shape[1]]
            kept = [logits[:, word].clone() for word in here]
            for word in here:
                logits[:, word] = -torch.inf
            top, places = _top(logits, min(count, logits.shape[1]))
            values.append(top)
            words.append(places + first)
            for word, value in zip(here, kept, strict=True):
                logits[:, word] = value
            sums.append(exp_in_place(logits)[1])
        top, places = torch.cat(values, dim=-1).topk(count, dim=-1)
        normaliser = torch.stack(sums).logsumexp(dim=0)
        return top - normaliser[:, None], torch.cat(words, dim=-1).gather(1, places)

    def logps_of(self, hidden: Tensor, word: int) -> Tensor:
        """Log-probability (N,), float32, of one word in each state."""
        sums = [exp_in_place(logits)[1] for _, logits in self.parts(hidden)]
        return (hidden.to(self.weight.dtype) @ self.weight[word]).float() - torch.stack(
            sums
        ).logsumexp(dim=0)


def exp_in_place(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Largest logits (N, 1) and logsumexp (N,) of (N, V), which becomes exp(logits - largest).

    Fresh memory of that size would cost more than the arithmetic.
    """
    largest = logits.amax(dim=-1, keepdim=True)
    sums = logits.sub_(largest).exp_().sum(dim=-1)
    return largest, sums.log_().add_(largest[:, 0])


def _top(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """``logits.topk(count)`` by way of the groups that have the largest maxima."""
    num_rows, width = logits.shape
    if width % GROUP or width // GROUP <= count or logits.is_cuda:
        top, places = logits.topk(count, dim=-1)
        return top, places
    groups = logits.view(num_rows, -1, GROUP)
    chosen = groups.amax(dim=-1).topk(count, dim=-1).indices
    members = groups.gather(1, chosen[:, :, None].expand(-1, -1, GROUP)).flatten(1)
    top, places = members.topk(count, dim=-1)
    return top, chosen.gather(1, places // GROUP) * GROUP + places % GROUP


def _can_pack(weight: Tensor, dtype: torch.dtype) -> bool:
    return (
        weight.numel() >= LEAST_VALUES
        and weight.device.type == "cpu"
        and dtype in (torch.float32, torch.bfloat16)
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _inner_dtype(dtype: torch.dtype) -> torch.dtype:
    """What products of ``dtype`` are computed in: bfloat16 only by instructions for it."""
    known = hasattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported")
    fast = known and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype if fast else torch.float32


def _product(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return product


def _packs(weight: Tensor, dtype: torch.dtype, size: int) -> list[Tensor]:
    """Packed parts of ``weight``, ``size`` rows each, kept as long as the weight is what it was."""
    key = (dtype, size, weight.data_ptr(), weight._version, _fingerprint(weight))
    kept = _packed_weights.get(weight)
    if kept is None or kept[0] != key:
        kept = _packed_weights[weight] = None  # its memory is taken up again
        parts: tuple[Tensor, ...] = torch.split(weight.detach(), size)
        packs = [
            torch.ops.mkldnn._reorder_linear_weight(p.to(dtype).contiguous(), 40) for p in parts
        ]
        kept = (key, packs)
        _packed_weights[weight] = kept
    packed: list[Tensor] = kept[1]
    return packed


def _fingerprint(weight: Tensor) -> float:
    """A sum over some of the values: writes through ``.data`` do not count up the version."""
    return float(weight.detach().flatten()[::4099].double().sum())
