"""The prefix tree of an image's candidates: each distinct prefix is computed once.

A causal model's state at a token depends on the tokens up to it alone: candidates that begin alike
share their states, and a mask that shows each node its ancestors replaces the causal one. The nodes
of all images lie side by side, so products over nodes have no padding; attention alone, which is
within an image, sees them as (B, M).

B images, K candidates per image, T tokens, M nodes per image at most, R nodes of all images.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PrefixTree:
    """The distinct prefixes of B images' candidates."""

    tokens: Tensor
    """(R,) last token of each node, image after image, by depth and then by first candidate."""
    depths: Tensor
    """(R,) place of that token in its caption, BOS at 0."""
    nodes: Tensor
    """(B, K, T) node of each prefix ``[: t + 1]`` of a candidate; some node at PAD."""
    places: Tensor
    """(R,) where each node lies in (B, M), flattened."""
    mask: Tensor
    """(B, M, M) true where the column is the row's ancestor or the row itself."""

    def by_image(self, values: Tensor) -> Tensor:
        """(R, D) to (B, M, D), zero where no node is."""
        num_images, size, _ = self.mask.shape
        padded = values.new_zeros(num_images * size, values.shape[-1])
        # (R, D) into (B * M, D), then (B, M, D)
        return padded.index_copy(0, self.places, values).view(num_images, size, -1)

    def by_node(self, values: Tensor) -> Tensor:
        """(B, M, D) to (R, D)."""
        return values.flatten(0, 1).index_select(0, self.places)  # (B * M, ...) -> (R, ...)


def prefix_tree(tokens: Tensor, pad_id: int) -> PrefixTree:
    """The prefix tree of candidates (B, K, T); a PAD and what follows it is no prefix."""
    num_images, num_candidates, num_tokens = tokens.shape
    same = (tokens[:, :, None] == tokens[:, None, :]).cumprod(dim=-1).bool()  # (B, K, K, T)
    first = same.to(torch.uint8).argmax(dim=2)  # (B, K, T): first candidate with this prefix
    order = torch.arange(num_candidates, device=tokens.device)[None, :, None]
    new = (first == order) & (tokens != pad_id)  # (B, K, T): a prefix that no earlier candidate has
    by_depth = new.transpose(1, 2).flatten(1)  # (B, T * K): parents before children
    within = by_depth.cumsum(dim=1) - 1  # (B, T * K): number of each new node in its image
    counts = by_depth.sum(dim=1)  # (B,) nodes of each image
    before = counts.cumsum(dim=0) - counts  # (B,) nodes of the images before
    # Every candidate takes the number that the first one with its prefix was given: (B, K, T).
    number = within.view(num_images, num_tokens, num_candidates).transpose(1, 2).gather(1, first)
    number = torch.where(tokens == pad_id, 0, number)  # (B, K, T) node within its image

    image, place, candidate = new.transpose(1, 2).nonzero(as_tuple=True)  # (R,) each
    size, node = int(counts.max()), number[image, candidate, place]
    own = torch.eye(size, dtype=torch.bool, device=tokens.device)
    mask = own.repeat(num_images, 1, 1)  # (B, M, M): each node sees itself
    # A node's ancestors are the nodes of its own candidate at the depths up to its own.
    earlier = torch.arange(num_tokens, device=tokens.device)[None, :] <= place[:, None]  # (R, T)
    row, step = earlier.nonzero(as_tuple=True)
    mask[image[row], node[row], number[image[row], candidate[row], step]] = True
    return PrefixTree(
        tokens=tokens[image, candidate, place],
        depths=place,
        nodes=number + before[:, None, None],
        places=image * size + node,
        mask=mask,
    )
