"""Randomness that depends on seed and step alone, so that a resumed run equals an unbroken one."""

import os

import numpy as np
import torch


def use_deterministic_kernels() -> None:
    """Makes torch choose kernels whose results do not vary between runs.

    To be called before the first product on a GPU: without that much scratch memory, set by then,
    torch refuses to compute any there.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=False)


def step_seed(seed: int, step: int, stream: str) -> int:
    """A 63-bit seed for one step of one stream of randomness (such as "dropout")."""
    words = np.random.SeedSequence([seed, step, *stream.encode()]).generate_state(2, np.uint32)
    return int(words[0]) << 31 | int(words[1]) >> 1


def seed_step(seed: int, step: int, part: int = 0) -> None:
    """Seeds torch's global generator (dropout) for one micro-batch of a training step.

    ``part`` numbers the micro-batches of the whole step, over all ranks: each has masks of its own,
    and they are the same whichever rank computes it.
    """
    torch.manual_seed(step_seed(seed, step, f"step/{part}" if part else "step"))
