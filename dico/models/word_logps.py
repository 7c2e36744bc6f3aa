"""Log-probabilities of chosen words, with gradient, without a graph over the whole vocabulary.

A softmax over V words written in torch's operators keeps several (N, V) arrays and passes over each
of them again in the backward pass. Here the logits come part by part, become probabilities where
they lie, and the gradient is formed in the same memory; where even that is too much, they are
computed again.

N states, E chosen words, D width, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

from dico.models.packed import Head, exp_in_place, in_dtype, product_dtype

KEPT_VALUES = {"cpu": 1 << 26, "cuda": 1 << 30}
"""Most probabilities (N * V) kept for the backward pass, by device; above, they are made again."""


def word_logps(hidden: Tensor, weight: Tensor, states: Tensor, words: Tensor) -> Tensor:
    """Log-probability (E,), float32, of ``words`` after ``states``.

    Args:
        hidden: (N, D).
        weight: (V, D) of the output head.
        states: (E,) row of ``hidden`` each word follows.
        words: (E,) ids.
    """
    logps: Tensor = _WordLogps.apply(hidden, weight, states, words, product_dtype(weight))  # type: ignore[no-untyped-call]
    return logps


class _WordLogps(torch.autograd.Function):
    """The products are in ``dtype``, sums and probabilities in float32."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, states: Tensor, words: Tensor, dtype: torch.dtype
    ) -> Tensor:
        head, rows = Head(weight), hidden.to(dtype)
        most = KEPT_VALUES.get(hidden.device.type, 0)
        keep = any(ctx.needs_input_grad) and len(rows) * len(weight) <= most
        kept, sums = [], []
        for first, logits in head.parts(rows):
            largest, part_sums = exp_in_place(logits)
            sums.append(part_sums)
            if keep:
                kept.append((first, logits, largest))
        normalisers = torch.stack(sums).logsumexp(dim=0)
        chosen = (rows[states].float() * head.weight[words].float()).sum(dim=-1)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(hidden, weight, states, words, normalisers)
            ctx.dtype, ctx.kept = dtype, kept
        return chosen - normalisers[states]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients: + of the chosen words, - of every word by its probability."""
        hidden, weight, states, words, normalisers = ctx.saved_tensors
        cast, rows = in_dtype(weight, ctx.dtype), hidden.to(ctx.dtype)
        parts = ctx.kept or _parts_again(cast, rows)
        ctx.kept = None  # overwritten below
        share = grad.new_zeros(len(rows)).index_add_(0, states, grad)
        grad_hidden = torch.zeros_like(rows, dtype=torch.float32)
        grad_weight = torch.empty_like(weight)
        for first, grown, largest in parts:
            scale = (largest[:, 0] - normalisers).exp_().mul_(share).neg_()
            spread = grown.mul_(scale[:, None]).to(ctx.dtype)  # (N, words) gradient of the logits
            last = first + spread.shape[1]
            grad_hidden += spread @ cast[first:last]
            _product_into(grad_weight[first:last], spread.T, rows)
        grad_hidden.index_add_(0, states, grad[:, None] * weight[words].float())
        grad_weight.index_add_(0, words, (grad[:, None] * hidden[states]).to(weight.dtype))
        return grad_hidden.to(hidden.dtype), grad_weight, None, None, None


def _product_into(place: Tensor, left: Tensor, right: Tensor) -> None:
    if place.dtype == left.dtype:
        torch.mm(left, right, out=place)
    else:
        place.copy_(left @ right)


def _parts_again(weight: Tensor, rows: Tensor) -> Any:
    for first, logits in Head(weight).parts(rows):
        yield first, logits, exp_in_place(logits)[0]
