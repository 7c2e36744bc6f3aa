"""One training process or several: ranks, devices, precision and the sum of gradients.

Every rank computes its share of one global batch, weighted so that the gradients add up to those of
the whole batch; nothing depends on how many ranks there are but rounding.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import nn

from dico.errors import ConfigError
from dico.training.configs import Precision


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
    ) -> Iterator[NDArray[np.int64]]:
        """This rank's share of a global batch, in pieces of at most ``micro_batch_size``."""
        own = indices[self.rank :: self.size]
        for start in range(0, len(own), micro_batch_size):
            yield own[start : start + micro_batch_size]

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Adds the gradients of all ranks, in one message."""
        if self.size == 1:
            return
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of ``values`` over all ranks."""
        if self.size == 1:
            return values
        summed = values.to(self.device)
        dist.all_reduce(summed)
        return summed

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
def join_world() -> Iterator[World]:
    """The world that torchrun's environment describes; a world of one without torchrun."""
    has_gpu = torch.cuda.is_available()
    size = int(os.environ.get("WORLD_SIZE", "1"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local_rank) if has_gpu else torch.device("cpu")
    if size == 1:
        yield World(device=device)
        return
    dist.init_process_group("nccl" if has_gpu else "gloo")
    try:
        yield World(dist.get_rank(), size, device)
    finally:
        dist.destroy_process_group()
