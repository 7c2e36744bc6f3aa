"""A3: the order of the data and the sum of the gradients depend on nothing but the step."""

import dataclasses
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from dico.policy import policy_of
from dico.training import xe
from dico.training.distributed import World
from dico.training.order import DataOrder
from tests.reliability.result import CONTROL, Result, count
from tests.reliability.trainer import XE
from tests.training import tiny
from tests.training.test_distributed import launch, start

IDS = ("A3",)


def check(full: bool) -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="tiny-") as temporary:
        folder = Path(temporary)
        world = tiny.make_world(folder)
        rows = [
            count("A3", "same data order after resuming, on 1, 2 and 4 ranks", _orders(full)),
            count(
                "A3", "gradients of micro-batches sum to those of the batch", _accumulated(world)
            ),
            count("A3", f"{CONTROL}another seed gives another order", _other_seed()),
        ]
        if full:
            rows.append(
                count(
                    "A3",
                    "two ranks end with the weights of one, up to rounding",
                    _ranks(world, folder),
                )
            )
            rows.append(
                count("A3", "one rank is killed: the other exits with 75", _lost(world, folder))
            )
        return rows


def _orders(full: bool) -> Iterator[bool]:
    """Batches from a late start, dealt out to ranks, against those of one process from step 0."""
    for num_items, batch_size in ((24, 8), (25, 8), (7, 16), (1000, 64)):
        alone = DataOrder(num_items, batch_size, seed=1)
        expected = [alone.batch(step) for step in range(40 if full else 10)]
        for first in (0, 3, len(expected) - 1):
            for size in (1, 2, 4):
                yield all(
                    np.array_equal(_dealt(num_items, batch_size, step, size), expected[step])
                    for step in range(first, len(expected))
                )


def _dealt(num_items: int, batch_size: int, step: int, size: int) -> np.ndarray:
    """A batch put together from the shares of ``size`` ranks, each with an order of its own."""
    parts = {}
    for rank in range(size):
        batch = DataOrder(num_items, batch_size, seed=1).batch(step)
        parts |= dict(World(rank, size).micro_batches(batch, 3))
    return np.concatenate([parts[number] for number in sorted(parts)])


def _accumulated(world: Path) -> Iterator[bool]:
    whole = _gradients(world, 24)
    for size in (3, 6, 12):
        yield torch.allclose(_gradients(world, size), whole, rtol=1e-4, atol=1e-6)


def _gradients(world: Path, micro_batch_size: int) -> torch.Tensor:
    captioner = tiny.captioner(world).train()
    config = dataclasses.replace(XE, micro_batch_size=micro_batch_size)
    images = np.arange(8)
    xe._backward(policy_of(captioner), tiny.data(world), images, config, 1, 0, World())
    return torch.cat([p.grad.flatten() for p in captioner.parameters() if p.grad is not None])


def _other_seed() -> Iterator[bool]:
    batches = [DataOrder(24, 8, seed).batch(0) for seed in (1, 2)]
    yield not np.array_equal(*batches)


def _ranks(world: Path, folder: Path) -> Iterator[bool]:
    for stage in ("xe", "dico"):
        (one,) = launch(stage, world, folder / f"{stage}-one", 1)
        first, second = launch(stage, world, folder / f"{stage}-two", 2)
        yield all(
            torch.equal(first[name], second[name])
            and torch.allclose(first[name], one[name], rtol=1e-3, atol=2e-5)
            for name in one
        )


def _lost(world: Path, folder: Path) -> Iterator[bool]:
    """One rank dies by SIGKILL while both train."""
    store = folder / "lost"
    paths = [str(world), str(store), str(folder / "result.json")]
    processes = start(["tests.reliability.trainer", "dico", *paths], 2)
    saved = store / "checkpoints" / "run"
    deadline = time.monotonic() + 120
    while not list(saved.glob("step-*[1-9]")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(processes[1].pid, signal.SIGKILL)
    _, said = processes[0].communicate(timeout=120)
    processes[1].communicate()
    last = said.splitlines()[-1] if said else ""
    yield processes[0].returncode == 75 and "another rank is gone or silent" in last
