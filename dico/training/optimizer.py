"""Adam, its rate, and clipping; without torch._dynamo, which takes long to import.

torch.optim wraps the methods of its optimisers so that torch.compile leaves them alone; the wrapper
imports the compiler when it is first called. Here the methods below the wrappers are called.
"""

import inspect
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


class _Plain(Optimizer):
    """The wrapped methods of an optimiser, without their wrappers."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        inspect.unwrap(Optimizer.add_param_group)(self, param_group)

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = inspect.unwrap(Optimizer.state_dict)(self)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        inspect.unwrap(Optimizer.load_state_dict)(self, state_dict)

    def zero_grad(self, set_to_none: bool = True) -> None:
        inspect.unwrap(Optimizer.zero_grad)(self, set_to_none)


class Adam(_Plain, torch.optim.Adam):
    """`torch.optim.Adam`, to the bit."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        inspect.unwrap(torch.optim.Adam.step)(self, closure)


class AdamW(_Plain, torch.optim.AdamW):
    """`torch.optim.AdamW`, to the bit."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        inspect.unwrap(torch.optim.AdamW.step)(self, closure)


def adam(parameters: list[nn.Parameter], rate: float) -> Adam:
    """The paper's optimiser, in one pass over each parameter."""
    return Adam(parameters, lr=rate, betas=(0.9, 0.999), fused=True)


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Gives all weights the learning rate of the step that follows."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip_gradients(parameters: list[nn.Parameter], max_norm: float) -> float:
    """Norm of the gradients, which are scaled down to ``max_norm`` where it is above 0."""
    return float(nn.utils.clip_grad_norm_(parameters, max_norm or float("inf")))
