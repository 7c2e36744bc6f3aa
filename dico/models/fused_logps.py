"""Log-probabilities of chosen words, with gradient, without a graph over the whole vocabulary.

A softmax over V words written in torch's operators keeps several (N, V) arrays and passes over each
of them again in the backward pass. Here the logits become probabilities where they lie, and the
gradient is formed in the same memory. Where even one such array is too much, it is made for some
states at a time, and made again in the backward pass.

N states, E chosen words, D width, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

from dico.models.packed import in_dtype, product, product_dtype, softmax_in_place

MOST_VALUES = {"cpu": 1 << 26, "cuda": 1 << 30}
"""Most probabilities (N * V) at a time, by device: as many are kept for the backward pass."""
MOST_ROWS = 1 << 14
"""Rows of a gradient that are widened to float32 at a time."""


def fused_token_logps(hidden: Tensor, weight: Tensor, states: Tensor, words: Tensor) -> Tensor:
    """Log-probability (E,), float32, of ``words`` after ``states``.

    Args:
        hidden: (N, D).
        weight: (V, D) of the output head.
        states: (E,) row of ``hidden`` each word follows.
        words: (E,) ids.
    """
    logps: Tensor = _FusedTokenLogps.apply(hidden, weight, states, words, product_dtype(weight))  # type: ignore[no-untyped-call]
    return logps


class _FusedTokenLogps(torch.autograd.Function):
    """The products are in ``dtype``, sums and probabilities in float32."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, states: Tensor, words: Tensor, dtype: torch.dtype
    ) -> Tensor:
        cast, rows = in_dtype(weight, dtype), hidden.to(dtype)
        sums, kept = [], None
        for block in torch.split(rows, _num_rows(weight)):
            kept = _probabilities(cast, block)  # (n, V) softmax and (n,) log Z
            sums.append(kept[1])
        normalisers = torch.cat(sums)  # (N,)
        # log p = h . w - log Z: only the chosen logits are needed, (E, D) dotted row by row.
        chosen = (rows[states].float() * cast[words].float()).sum(dim=-1)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(hidden, weight, states, words)
            ctx.dtype, ctx.kept = dtype, kept if len(sums) == 1 else None
        return chosen - normalisers[states]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients: + of the chosen words, - of every word by its probability."""
        hidden, weight, states, words = ctx.saved_tensors
        cast, rows = in_dtype(weight, ctx.dtype), hidden.to(ctx.dtype)
        kept, ctx.kept = ctx.kept, None  # overwritten below
        # (N,) a state that several chosen words follow gets the sum of their gradients.
        share = grad.new_zeros(len(rows)).index_add_(0, states, grad)
        grad_hidden = torch.empty_like(rows, dtype=torch.float32)
        grad_weight = torch.empty_like(weight)
        for first in range(0, len(rows), size := _num_rows(weight)):
            block = slice(first, first + size)
            probabilities, _ = kept or _probabilities(cast, rows[block])
            # d log p / d logits = onehot - softmax; here the second term, (n, V), in place.
            spread = probabilities.mul_(-share[block][:, None]).to(ctx.dtype)
            _product_into(grad_hidden[block], spread, cast)  # (n, V) @ (V, D)
            _product_into(grad_weight, spread.T, rows[block], add=first > 0)  # (V, n) @ (n, D)
        # The first term: only the E chosen rows of either matrix get any.
        grad_hidden.index_add_(0, states, grad[:, None] * weight[words].float())
        grad_weight.index_add_(0, words, (grad[:, None] * hidden[states]).to(weight.dtype))
        return grad_hidden.to(hidden.dtype), grad_weight, None, None, None


def _num_rows(weight: Tensor) -> int:
    return max(1, MOST_VALUES.get(weight.device.type, 1 << 26) // len(weight))


def _product_into(place: Tensor, left: Tensor, right: Tensor, add: bool = False) -> None:
    if place.dtype == left.dtype:
        torch.addmm(place, left, right, beta=int(add), out=place)
        return
    parts, blocks = torch.split(place, MOST_ROWS), torch.split(left, MOST_ROWS)
    for part, rows in zip(parts, blocks, strict=True):
        made = rows @ right  # of the lesser dtype, beside which ``place`` is large already
        if add:
            part += made
        else:
            part.copy_(made)


def _probabilities(weight: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax (N, V) of the logits of states (N, D), and the logsumexp (N,) of the logits."""
    logits = product(rows, weight).float()
    return logits, softmax_in_place(logits)
