"""Adam without torch._dynamo, whose import takes longer than a small model's first hundred steps.

torch.optim wraps the methods of its optimisers so that torch.compile leaves them alone; the wrapper
imports the compiler when it is first called. Here the methods below the wrappers are called.
"""

import inspect
from typing import Any

import torch
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
