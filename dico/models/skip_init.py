"""Models without values yet, for loading: no random numbers are drawn only to be overwritten."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class SkipInit(TorchFunctionMode):
    """Allocates parameters without initialising them, while it lasts.

    The meta device does the same, but loads torch's compiler for it, which takes 1.5 s.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Skips `torch.nn.init` and `torch.randn`; everything else is done."""
        kwargs = kwargs or {}
        if func is torch.randn:
            return torch.empty(*args, **kwargs)
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)
