"""Less memory or less time for a model's repeated blocks, as options of a training run.

The blocks are the members of the model's outermost ``nn.ModuleList``s: the layers of its encoders
and decoders. Searching, which has no gradient, is left as it is by activation checkpointing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The repeated blocks of ``model``, first to last."""
    for child in model.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from blocks(child)


@contextmanager
def recomputing(model: nn.Module, enabled: bool) -> Iterator[None]:
    """Within it the backward pass computes each block's activations again instead of keeping them.

    Gradients are the same to the bit, dropout included; memory falls, time rises by about a third.
    """
    changed = list(blocks(model)) if enabled else []
    for block in changed:
        block.forward = _recomputed(block.forward)
    try:
        yield
    finally:
        for block in changed:
            del block.forward


def compile_blocks(model: nn.Module) -> None:
    """Compiles each block by torch.compile, for captions of any length; values change by rounding.

    The first steps take minutes; it pays on GPUs, in long runs.
    """
    for block in blocks(model):
        block.compile(dynamic=True)


def _recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **options: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **options)
        return checkpoint(forward, *args, use_reentrant=False, **options)

    return run
