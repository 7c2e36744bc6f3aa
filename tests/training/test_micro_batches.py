"""How a batch is dealt to ranks: pieces that do not depend on how many ranks there are."""

import numpy as np
import pytest
import torch

from dico.training.determinism import seed_step
from dico.training.distributed import World

BATCH = np.arange(100, 124)


def pieces(size, micro_batch_size, batch=BATCH):
    """Pieces of all ranks by number."""
    found = {}
    for rank in range(size):
        for number, indices in World(rank, size).micro_batches(batch, micro_batch_size):
            assert number not in found
            found[number] = indices.tolist()
    return found


@pytest.mark.parametrize("size", [1, 2, 4])
def test_any_number_of_ranks_that_divides_the_pieces_has_the_same(size):
    expected = {n: list(range(100 + 6 * n, 106 + 6 * n)) for n in range(4)}
    assert pieces(size, 6) == expected


def test_other_numbers_of_ranks_have_more_and_smaller_pieces():
    assert [len(p) for p in pieces(1, 24).values()] == [24]
    assert [len(p) for p in pieces(2, 24).values()] == [12, 12]
    assert [len(p) for p in pieces(3, 6).values()] == [4, 4, 4, 4, 4, 4]


def test_ranks_share_evenly():
    shares = [
        sum(len(piece.indices) for piece in World(rank, 3).micro_batches(np.arange(8), 2))
        for rank in range(3)
    ]
    assert shares == [3, 3, 2]


@pytest.mark.parametrize("size", [2, 3, 5, 7])
@pytest.mark.parametrize("micro_batch_size", [1, 4, 5, 100])
def test_every_item_is_dealt_once_and_no_rank_is_idle(size, micro_batch_size):
    for num_items in range(size, 24):
        batch = np.arange(num_items)
        found = pieces(size, micro_batch_size, batch)
        assert sorted(item for piece in found.values() for item in piece) == batch.tolist()
        assert all(1 <= len(piece) <= micro_batch_size for piece in found.values())
        for rank in range(size):
            assert list(World(rank, size).micro_batches(batch, micro_batch_size))


def test_each_piece_of_each_step_has_masks_of_its_own():
    masks = []
    for seed, step, part in [(1, 0, 0), (1, 0, 1), (1, 0, 2), (1, 1, 0), (1, 1, 1), (2, 0, 0)]:
        seed_step(seed, step, part)
        masks.append(torch.rand(64))
        seed_step(seed, step, part)
        assert torch.equal(torch.rand(64), masks[-1])
    assert all(not torch.equal(a, b) for i, a in enumerate(masks) for b in masks[:i])
