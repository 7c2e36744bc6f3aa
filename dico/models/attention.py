"""Scaled dot-product attention: torch's kernel, or two products where they are faster.

On a CPU in bfloat16 torch's fused kernel takes two to three times as long as a product, a softmax
and a product, forward and backward. It is used all the same under dropout, which it draws itself.

B images, H heads, R queries, P keys, E width of a head.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    is_causal: bool = False,
) -> Tensor:
    """What each query finds, (B, H, R, E).

    Args:
        query: (B, H, R, E).
        key: (B, H, P, E).
        value: (B, H, P, E).
        mask: over (B, H, R, P); true where a query may look, or what is added to the scores.
        dropout: share of the weights that is dropped.
        is_causal: whether query r looks at keys 0 to r alone (R = P, no mask).
    """
    if dropout or not use_explicit_matmul(query):
        return F.scaled_dot_product_attention(query, key, value, mask, dropout, is_causal)
    if torch.is_grad_enabled():  # the backward pass makes the weights anew: they are large
        found: Tensor = checkpoint(
            _explicit_attention,
            query,
            key,
            value,
            mask,
            is_causal,
            use_reentrant=False,
            preserve_rng_state=False,
        )
        return found
    return _explicit_attention(query, key, value, mask, is_causal)


def _explicit_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, is_causal: bool
) -> Tensor:
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)  # (B, H, R, P)
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, -torch.inf)
    elif mask is not None:
        scores = scores + mask
    found: Tensor = scores.softmax(dim=-1) @ value  # (B, H, R, E)
    return found


def use_explicit_matmul(values: Tensor) -> bool:
    """Whether attention over ``values`` is written out; then keys in one block spare copies."""
    return values.device.type == "cpu" and values.dtype == torch.bfloat16


def split_heads(merged: Tensor, num_parts: int, num_heads: int) -> tuple[Tensor, ...]:
    """(N, T, parts * D) to ``num_parts`` of (N, H, T, D / H)."""
    num_rows, num_tokens, width = merged.shape
    # (N, T, parts, H, D / H)
    split = merged.view(num_rows, num_tokens, num_parts, num_heads, width // num_parts // num_heads)
    return split.permute(2, 0, 3, 1, 4).unbind(0)  # parts first, then (N, H, T, D / H)


def merge_heads(split: Tensor) -> Tensor:
    """(N, H, T, D / H) to (N, T, D)."""
    return split.transpose(1, 2).flatten(2)  # (N, T, H, D / H) -> (N, T, D)
