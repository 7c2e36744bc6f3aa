"""Tied input and output embedding whose two gradients accumulate in one buffer.

A caption's tokens are rows of the table, and the head multiplies by all of it. torch would add the
gradient of the rows to that of the head in a second array of the table's size.

N rows, D width, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def tied_embedding(table: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (..., D) of ``tokens`` (...), and the table (V, D) to give to the head.

    The gradient that arrives at the table returned becomes that of ``table``.
    """
    rows, head = _TiedEmbedding.apply(table, tokens)  # type: ignore[no-untyped-call]
    return rows, head


class _TiedEmbedding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(tokens)
        return F.embedding(tokens, table), table.view_as(table)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_rows: Tensor, grad_head: Tensor) -> tuple[Tensor, None]:
        """The head's gradient with that of the rows added to it."""
        (tokens,) = ctx.saved_tensors
        grad = grad_head.contiguous()
        # (N,) ids and their (N, D) gradients, added to the head's (V, D)
        grad.index_add_(0, tokens.flatten(), grad_rows.flatten(0, -2).to(grad.dtype))
        return grad, None
