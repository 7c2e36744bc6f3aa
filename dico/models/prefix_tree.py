"""The distinct prefixes of an image's candidates, so that each is computed once.

A causal model's state at a word depends on the words up to it alone: candidates that begin alike
share their states, and a mask that shows each node its ancestors replaces the causal one.

B images, K candidates per image, T tokens, M nodes per image.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PrefixTree:
    """The distinct prefixes of B images' candidates, M at most per image."""

    tokens: Tensor
    """(B, M) last token of each node; whatever where no node is."""
    depths: Tensor
    """(B, M) place of that token in its caption, BOS at 0."""
    mask: Tensor
    """(B, M, M) true where the column is the row's ancestor or the row itself."""
    nodes: Tensor
    """(B, K, T) node of each prefix ``[: t + 1]`` of a candidate."""


def prefix_tree(tokens: Tensor, pad_id: int) -> PrefixTree:
    """The prefix tree of candidates (B, K, T), where the prefix of a PAD is that of its EOS.

    Nodes are numbered by depth and then by first candidate, so an ancestor comes first.
    """
    num_images, num_candidates, num_tokens = tokens.shape
    same = (tokens[:, :, None] == tokens[:, None, :]).cumprod(dim=-1).bool()  # (B, K, K, T)
    first = same.to(torch.uint8).argmax(dim=2)  # (B, K, T): first candidate with this prefix
    order = torch.arange(num_candidates, device=tokens.device)[None, :, None]
    new = (first == order) & (tokens != pad_id)
    by_depth = new.transpose(1, 2).reshape(num_images, -1)
    number = (by_depth.cumsum(dim=1) - 1).view(num_images, num_tokens, num_candidates)
    nodes = number.transpose(1, 2).gather(1, first)
    nodes = torch.where(tokens == pad_id, 0, nodes)
    size = int(by_depth.sum(dim=1).max())

    image, candidate, place = new.nonzero(as_tuple=True)
    node = nodes[image, candidate, place]
    last = tokens.new_zeros(num_images, size)
    depths = torch.zeros_like(last)
    last[image, node], depths[image, node] = tokens[image, candidate, place], place
    mask = torch.eye(size, dtype=torch.bool, device=tokens.device).repeat(num_images, 1, 1)
    earlier = torch.arange(num_tokens, device=tokens.device)[None, :] <= place[:, None]
    row, step = earlier.nonzero(as_tuple=True)
    mask[image[row], node[row], nodes[image[row], candidate[row], step]] = True
    return PrefixTree(last, depths, mask, nodes)
