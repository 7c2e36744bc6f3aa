"""Lets torchvision be imported beside a torch build that its compiled operators do not fit.

The package index's torchvision is compiled for CUDA builds of torch. Beside a CPU build its own
library does not load, and its import then fails on operators that were never declared. Captioning
needs none of them: declaring the two that torchvision looks up is enough for its Python parts.

scripts/mend-torchvision copies this file into an environment, so that ``import open_clip`` works there
in any process.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing's own would cost every process of the environment 30 ms
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_declared: list[object] = []


def ensure_torchvision_imports() -> None:
    """Makes ``import torchvision`` work; call it before importing open_clip or transformers models.

    Does nothing where torchvision is absent or its compiled operators load.
    """
    import importlib.util
    import os

    spec = importlib.util.find_spec("torchvision")
    if _declared or spec is None or spec.origin is None or _loads(os.path.dirname(spec.origin)):
        return
    import torch

    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    _declared.append(library)


def on_import() -> None:
    """From now on ``import torchvision`` works, whoever says it; nothing is loaded before."""
    sys.meta_path.insert(0, _BeforeTorchvision())


class _BeforeTorchvision:
    """A finder of modules that finds nothing, but is asked first."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> None:
        """Declares the operators when torchvision is looked for, once."""
        del path, target
        if name == "torchvision" and self in sys.meta_path:
            sys.meta_path.remove(self)
            ensure_torchvision_imports()


def _loads(package: str) -> bool:
    import glob

    import torch

    for path in [*glob.glob(f"{package}/_C.*so"), *glob.glob(f"{package}/_C.*pyd")]:
        try:
            torch.ops.load_library(path)  # type: ignore[no-untyped-call]
        except (OSError, RuntimeError):
            continue
        return True
    return False
