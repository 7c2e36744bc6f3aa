"""The plain tower: its grid, what a cell sees, and its place in a CLIP."""

import pytest
import torch

from dico.models.clip import ClipModel
from dico.models.clip_config import ClipConfig, TextConfig, VisionConfig


def clip(layers, side=64, width=8):
    vision = VisionConfig(image_size=side, layers=layers, width=width, head_width=8)
    return ClipModel(
        ClipConfig(embed_dim=16, vision_cfg=vision, text_cfg=TextConfig(8, 50, 16, 2, 1))
    )


@pytest.mark.parametrize(("layers", "cells", "width"), [((1, 1, 1), 64, 64), ((1, 2), 256, 32)])
def test_tokens_are_the_grid_that_the_config_promises(layers, cells, width):
    model = clip(layers).eval()
    vision = model.config.vision_cfg
    assert (vision.num_tokens, vision.token_width) == (cells, width)
    pixels = torch.randn(2, 3, 64, 64)
    assert model.encode_image_tokens(pixels).shape == (2, cells, width)
    lengths = model.encode_image(pixels).norm(dim=-1).tolist()
    assert lengths == pytest.approx([1.0, 1.0], abs=1e-5)


def test_cells_lie_row_by_row_and_see_their_neighbourhood_only():
    model = clip((1, 1)).eval()
    pixels = torch.zeros(1, 3, 64, 64)
    changed = pixels.clone()
    changed[..., 4, 60] = 1.0  # row 1, column 15 of a 16 x 16 grid
    before, after = (model.encode_image_tokens(p)[0] for p in (pixels, changed))
    moved = (before - after).abs().sum(dim=-1).view(16, 16) > 1e-6
    assert moved[1, 15]
    assert not moved[8:].any()
    assert not moved[:, :8].any()


def test_a_fifth_of_the_resnets_parameters():
    sizes = [
        sum(p.numel() for p in clip(layers, width=w).visual.parameters())
        for layers, w in (((1, 1, 2), 16), ((1, 1, 1, 1), 16))
    ]
    assert sizes[0] < sizes[1] / 3
