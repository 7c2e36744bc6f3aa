"""Linear layers with weights pre-packed for oneDNN: fast decoding on a CPU.

A decoder step multiplies a few rows by large matrices; a plain product then spends much of its time
rearranging the weights. oneDNN can keep them arranged. Float32 and bfloat16 on a CPU; anywhere
else, or where this torch has no such operators, plain products are used. Where the CPU has no
instructions for bfloat16, float32 products of the same values, rounded alike, take several times
less time than torch's own. No gradient.

N rows, D width, V vocabulary.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary

LEAST_VALUES = 1 << 17
"""Smaller weights stay plain: the products are too short to gain."""
GROUP = 64
"""Words among which the likeliest are sought first by their common maximum."""

_packed_weights: Any = WeakIdKeyDictionary()
Linear = Callable[[Tensor], Tensor]


def packed_linear(
    weight: Tensor, bias: Tensor | None = None, after: Literal["none", "gelu"] = "none"
) -> Linear:
    """The product ``x @ weight.T + bias`` as a function of x (..., D), packed where that pays.

    Args:
        weight: (V, D).
        bias: (V,), or none.
        after: what is done to the product: nothing, or GPT-2's GELU (by tanh).
    """
    dtype = product_dtype(weight)
    if not _can_pack(weight, dtype):
        if after == "none":
            return lambda x: F.linear(x, weight, bias)
        return lambda x: F.gelu(F.linear(x, weight, bias), approximate="tanh")
    inner = _inner_dtype(dtype)
    added = None if bias is None else in_dtype(bias, dtype).to(inner)
    packed = _packed(in_dtype(weight, dtype), inner)
    return lambda x: _multiply(x.to(dtype).to(inner), packed, added, after).to(dtype)


def product(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight.T`` for many rows x (N, D) of the weight's dtype: not packed, for one use.

    oneDNN takes two thirds of the time that the plain product takes for a weight as large as an
    output head, and gives the bits of the packed product.
    """
    if not _can_pack(weight, weight.dtype):
        return F.linear(x, weight)
    inner = _inner_dtype(weight.dtype)
    return _multiply(x.to(inner), weight.to(inner), None).to(x.dtype)


def product_dtype(weight: Tensor) -> torch.dtype:
    """The dtype of products with ``weight`` (on its device): autocast's, or its own."""
    device = weight.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return weight.dtype


def in_dtype(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """``weight`` itself where it has the dtype, so that its packed form is found again."""
    return weight if weight.dtype == dtype else weight.detach().to(dtype)


class LMHead:
    """The output head: log-probabilities of the likeliest words, or of one."""

    def __init__(self, weight: Tensor) -> None:
        """Shares the ``weight`` (V, D) of the word table."""
        weight = in_dtype(weight, product_dtype(weight))  # once, not at every word
        self._dtype = weight.dtype
        self._product = packed_linear(weight)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (N, V), float32, of states (N, D)."""
        return self._product(hidden.to(self._dtype)).float()

    def best(self, hidden: Tensor, count: int, excluded: list[int]) -> tuple[Tensor, Tensor]:
        """The ``count`` likeliest words of each state: log-probabilities and ids (N, count).

        Args:
            hidden: (N, D).
            count: how many, best first.
            excluded: ids masked from selection; they still count in the softmax.
        """
        logits = self.logits(hidden)
        top, words = _top(logits, min(count + len(excluded), logits.shape[1]))
        normalisers = softmax_in_place(logits, likeliest=words[:, :1])
        for word in excluded:
            top = top.masked_fill(words == word, -torch.inf)
        top, places = top.topk(count, dim=-1)  # (N, count): what is excluded has fallen behind
        return top - normalisers[:, None], words.gather(1, places)

    def logps_of(self, hidden: Tensor, word: int) -> Tensor:
        """Log-probability (N,), float32, of one word in each state."""
        logits = self.logits(hidden)
        chosen = logits[:, word].clone()
        return chosen - softmax_in_place(logits)


class LogitsHead(LMHead):
    """The head of a model whose states are its logits already."""

    def __init__(self) -> None:
        """Holds no weights."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (N, V), float32, fresh."""
        return hidden.float() if hidden.dtype != torch.float32 else hidden.clone()


def softmax_in_place(logits: Tensor, likeliest: Tensor | None = None) -> Tensor:
    """Logsumexp (N,) of logits (N, V), float32, which become their softmax.

    One pass of torch's own, where to subtract, exponentiate and sum would be three, and no fresh
    memory, which would cost more than the arithmetic. log Z = max logit - log max probability, so the
    sum needs no second pass.

    Args:
        logits: float32.
        likeliest: (N, 1) id of the largest logit of each row, where it is known already.
    """

    def largest() -> Tensor:
        chosen = logits if likeliest is None else logits.gather(1, likeliest)  # (N, V) or (N, 1)
        return chosen.amax(dim=-1)

    before = largest()
    torch.softmax(logits, dim=-1, out=logits)
    return before - largest().log_()


def _top(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """``logits.topk(count)`` by way of the groups that have the largest maxima."""
    width = logits.shape[1]
    num_groups = width // GROUP
    if num_groups <= count or logits.is_cuda:
        top, places = logits.topk(count, dim=-1)
        return top, places
    groups = logits[:, : num_groups * GROUP].view(-1, num_groups, GROUP)  # (N, groups, GROUP)
    chosen = groups.amax(dim=-1).topk(count, dim=-1).indices[:, :, None]  # (N, count, 1) groups
    words = torch.arange(width, device=logits.device)
    members = (chosen * GROUP + words[:GROUP]).flatten(1)  # (N, count * GROUP) ids
    rest = words[num_groups * GROUP :].expand(len(logits), -1)  # ids beyond the last whole group
    words = torch.cat([members, rest], dim=1)  # (N, J), of which the best `count` are chosen
    top, places = logits.gather(1, words).topk(count, dim=-1)
    return top, words.gather(1, places)  # (N, count) each


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


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None, after: str = "none") -> Tensor:
    algorithm = "tanh" if after == "gelu" else ""
    made: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, after, [], algorithm)
    return made


def _packed(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """``weight`` packed for products in ``dtype``; kept as long as the weight is what it was."""
    key = (dtype, weight.data_ptr(), weight._version, _fingerprint(weight))
    kept = _packed_weights.get(weight)
    if kept is None or kept[0] != key:
        kept = _packed_weights[weight] = None  # its memory is taken up again
        values = weight.detach().to(dtype).contiguous()
        kept = (key, torch.ops.mkldnn._reorder_linear_weight(values, 40))
        _packed_weights[weight] = kept
    packed: Tensor = kept[1]
    return packed


def forget_packed(module: nn.Module) -> None:
    """Frees the packed forms of a module's weights, which are about to change."""
    for weight in module.parameters():
        _packed_weights.pop(weight, None)


def _fingerprint(weight: Tensor) -> float:
    """A sum over some of the values: writes through ``.data`` do not count up the version."""
    return float(weight.detach().flatten()[::4099].double().sum())
