"""Sines of row and column as image tokens' positions, to start learnt ones from.

Beyer et al. 2022 (arXiv 2205.01580) find fixed two-dimensional sines as good as learnt positions, and
to need no time to be learnt: with few steps, which token lies where is known from the first.

P image tokens, D width.
"""

import math

import torch
from torch import Tensor

LONGEST = 100.0
"""Longest wavelength over the shortest; some cells, where Transformer's 10,000 is for long texts."""


def grid_positions(num_tokens: int, width: int) -> Tensor:
    """Positions (P, D) of a square grid, row by row; a class token before it has zeros.

    Where the tokens are no square grid, and where the width has no four parts, all are zeros.
    """
    side = math.isqrt(num_tokens)
    first = num_tokens - side * side  # 1 for a class token
    if first > 1 or width % 4:
        return torch.zeros(num_tokens, width)
    steps = torch.arange(float(side))
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    rates = LONGEST ** (-torch.arange(width // 4) / (width // 4))
    angles = [place.reshape(-1, 1) * rates for place in (columns, rows)]  # each (side ** 2, D / 4)
    # Four waves of (side ** 2, D / 4) side by side: (side ** 2, D).
    grid = torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)
    return torch.cat([torch.zeros(first, width), grid])  # (P, D)
