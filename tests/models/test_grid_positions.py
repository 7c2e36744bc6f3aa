"""Positions of a grid of image tokens: what is near is alike, and a captioner may start from them."""

import math

import pytest
import torch

from dico.models.captioner import Captioner
from dico.models.captioner_config import CaptionerConfig
from dico.models.encoder import GRID_SCALE
from dico.models.grid_positions import grid_positions


def test_the_first_row_by_hand():
    positions = grid_positions(9, 8)
    for column in range(3):
        angles = [column * 1.0, column * 0.1]  # wavelengths 2 pi and 20 pi cells
        sines = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        assert positions[column].tolist() == pytest.approx([*sines, 0.0, 0.0, 1.0, 1.0], abs=1e-6)


def test_no_two_cells_are_alike_and_neighbours_are_closest():
    positions = grid_positions(64, 32)
    distance = torch.cdist(positions, positions)
    distance.fill_diagonal_(math.inf)
    assert distance.min() > 0.1
    nearest = distance[27].argsort()[:4].tolist()  # row 3, column 3 of 8 x 8
    assert sorted(nearest) == [19, 26, 28, 35]


@pytest.mark.parametrize(("num_tokens", "zeros"), [(50, 1), (12, 12)])
def test_a_class_token_and_what_is_no_square_have_no_place(num_tokens, zeros):
    positions = grid_positions(num_tokens, 16)
    assert int((positions == 0).all(dim=1).sum()) == zeros
    assert (positions[0] == 0).all()


def test_a_captioner_starts_from_them_where_asked():
    sizes = {"feature_width": 4, "num_image_positions": 16, "vocab_size": 40, "width": 16}
    sizes |= {"num_text_positions": 8, "num_heads": 2, "ffn_width": 16}
    grid = Captioner(CaptionerConfig(**sizes, image_positions="grid")).encoder.positions
    plain = Captioner(CaptionerConfig(**sizes)).encoder.positions
    assert (grid - 0.02 * GRID_SCALE * grid_positions(16, 16)).abs().max() < 0.15
    assert plain.abs().max() < 0.15
