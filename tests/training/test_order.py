"""The order of data, learning rates, seeds and the ranks' shares, against naive forms."""

import numpy as np
import pytest
import torch

from dico.errors import ConfigError
from dico.training.determinism import seed_step, step_seed
from dico.training.distributed import World, join_world
from dico.training.order import DataOrder
from dico.training.schedule import learning_rate


def test_each_epoch_is_a_permutation_of_its_own():
    order = DataOrder(num_items=10, batch_size=5, seed=7)
    epochs = [np.concatenate([order.batch(2 * e), order.batch(2 * e + 1)]) for e in range(3)]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(10))
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 3


@pytest.mark.parametrize(("num_items", "batch_size"), [(7, 3), (3, 7), (4, 4), (1, 2)])
def test_batches_are_slices_of_the_epochs_end_to_end(num_items, batch_size):
    order = DataOrder(num_items, batch_size, seed=2)
    stream = np.concatenate(
        [np.random.default_rng((2, e)).permutation(num_items) for e in range(9)]
    )
    for step in range(9 * num_items // batch_size):
        expected = stream[step * batch_size : (step + 1) * batch_size]
        assert order.batch(step).tolist() == expected.tolist()


def test_a_batch_depends_on_seed_and_step_alone():
    straight = DataOrder(11, 4, seed=5)
    batches = [straight.batch(step).tolist() for step in range(12)]
    for step in (11, 3, 8, 0):
        assert DataOrder(11, 4, seed=5).batch(step).tolist() == batches[step]
    assert DataOrder(11, 4, seed=6).batch(0).tolist() != batches[0]


def test_rate_warms_up_and_stays():
    rates = [learning_rate(2.0, step, 10, 0.4, "constant") for step in range(10)]
    assert rates == [0.5, 1.0, 1.5] + [2.0] * 7


def test_rate_falls_along_a_half_cosine():
    rates = [learning_rate(1.0, step, 6, 1 / 3, "cosine") for step in range(7)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[3:] == pytest.approx([0.8535533906, 0.5, 0.1464466094, 0.0])


def test_no_warm_up_begins_at_the_peak():
    assert learning_rate(3.0, 0, 5, 0.0, "constant") == 3.0
    assert learning_rate(3.0, 0, 1, 1.0, "cosine") == 3.0


def test_seeds_differ_by_seed_step_and_stream():
    places = [(s, t, name) for s in range(3) for t in range(3) for name in ("step", "crops", "a")]
    seeds = {step_seed(*place) for place in places}
    assert len(seeds) == len(places)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert step_seed(1, 2, "step") == step_seed(1, 2, "step")


def test_seeding_a_step_fixes_what_torch_draws():
    seed_step(4, 9)
    first = torch.rand(3)
    torch.rand(5)
    seed_step(4, 9)
    assert torch.equal(torch.rand(3), first)
    seed_step(4, 10)
    assert not torch.equal(torch.rand(3), first)


def test_a_batch_smaller_than_the_ranks_is_refused():
    World(0, 2).require_share(2)
    with pytest.raises(ConfigError, match="batch_size: 1 is less than one for each of 2 ranks"):
        World(0, 2).require_share(1)


def test_without_torchrun_there_is_one_rank(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_world() as world:
        assert (world.rank, world.size, world.is_main) == (0, 1, True)
        assert torch.equal(world.sum(torch.tensor([1.5, 2.0])), torch.tensor([1.5, 2.0]))
        assert world.any(True)
        assert not world.any(False)
