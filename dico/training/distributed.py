"""One training process or several: ranks, devices, precision and the sum of gradients.

Every rank computes its share of one global batch, weighted so that the gradients add up to those of
the whole batch. The batch is cut into micro-batches that are dealt to the ranks, and each
micro-batch draws its own randomness (dropout, samples). So nothing depends on how many ranks there
are but rounding, as long as it divides the number of micro-batches; otherwise the batch is cut into
more of them, smaller ones, and they draw other masks.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import nn

from dico.errors import ConfigError, TryAgainError
from dico.training.configs import Precision

RANK_TIMEOUT_VARIABLE = "DICO_RANK_TIMEOUT_SECONDS"
"""Environment variable: how long a rank waits for another, seconds."""
RANK_TIMEOUT_SECONDS = 600.0


class MicroBatch(NamedTuple):
    """A piece of a global batch that goes through the model at once."""

    number: int
    """Among the pieces of the whole batch, over all ranks, from 0."""
    indices: NDArray[np.int64]
    """Its items."""


@dataclasses.dataclass(frozen=True)
class World:
    """This process's place among the ranks of a run."""

    rank: int = 0
    """This process, from 0."""
    size: int = 1
    """Number of processes."""
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))
    """Where this rank computes."""

    @property
    def is_main(self) -> bool:
        """Whether this rank writes checkpoints and shows progress."""
        return self.rank == 0

    def micro_batches(
        self, indices: NDArray[np.int64], micro_batch_size: int
    ) -> Iterator[MicroBatch]:
        """This rank's share of a global batch, in pieces of at most ``micro_batch_size``.

        Every rank has as many pieces, and their sizes differ by 1 at most.
        """
        # As many pieces for every rank, so that none waits for another.
        rounds = -(-len(indices) // (micro_batch_size * self.size))
        pieces = np.array_split(indices, rounds * self.size)
        for number in range(self.rank, len(pieces), self.size):
            if len(pieces[number]):
                yield MicroBatch(number, pieces[number])

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Adds the gradients of all ranks, in one message."""
        if self.size == 1:
            return
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        # One exchange of all gradients in a row costs less than one for each.
        flat = torch.cat([gradient.flatten() for gradient in gradients])  # (number of weights,)
        with lost_ranks():
            dist.all_reduce(flat)
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of ``values`` over all ranks."""
        if self.size == 1:
            return values
        summed = values.to(self.device)
        with lost_ranks():
            dist.all_reduce(summed)
        return summed

    def broadcast(self, data: bytes) -> bytes:
        """What the first rank calls ``data``, on every rank."""
        if self.size == 1:
            return data
        # All ranks must know the size before they can receive.
        length = int(self.sum(torch.tensor(len(data) if self.is_main else 0)))
        sent = torch.zeros(length, dtype=torch.uint8)
        if self.is_main and data:
            sent = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        sent = sent.to(self.device)
        with lost_ranks():
            dist.broadcast(sent, 0)
        return sent.cpu().numpy().tobytes()

    def any(self, condition: bool) -> bool:
        """Whether ``condition`` holds on at least one rank."""
        return bool(self.sum(torch.tensor(float(condition))) > 0)

    def require_share(self, batch_size: int) -> None:
        """Refuses a batch that leaves a rank without work.

        Raises:
            ConfigError: fewer than one item per rank.
        """
        if batch_size < self.size:
            raise ConfigError(
                f"batch_size: {batch_size} is less than one for each of {self.size} ranks"
            )

    def autocast(self, precision: Precision) -> AbstractContextManager[object]:
        """bfloat16 matrix products where asked for; losses stay float32."""
        if precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


@contextlib.contextmanager
def lost_ranks() -> Iterator[None]:
    """Turns what torch raises when another rank died or is silent into one line.

    Raises:
        TryAgainError: the ranks can go on from the last checkpoint when all are started again.
    """
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise TryAgainError(
            f"rank {os.environ.get('RANK', '0')}: another rank is gone or silent ({reason}); "
            "the same command goes on from the last checkpoint"
        ) from None


@contextlib.contextmanager
def join_world() -> Iterator[World]:
    """The world that torchrun's environment describes; a world of one without torchrun.

    Raises:
        TryAgainError: the other ranks did not appear in time.
    """
    has_gpu = torch.cuda.is_available()
    size = int(os.environ.get("WORLD_SIZE", "1"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local_rank) if has_gpu else torch.device("cpu")
    if size == 1:
        yield World(device=device)
        return
    seconds = float(os.environ.get(RANK_TIMEOUT_VARIABLE, RANK_TIMEOUT_SECONDS))
    with lost_ranks():
        dist.init_process_group("nccl" if has_gpu else "gloo", timeout=timedelta(seconds=seconds))
    try:
        yield World(dist.get_rank(), size, device)
    finally:
        dist.destroy_process_group()
