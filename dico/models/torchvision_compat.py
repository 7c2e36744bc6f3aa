"""Lets torchvision be imported beside a torch build that its compiled operators do not fit.

The package index's torchvision is compiled for CUDA builds of torch. Beside a CPU build its own
library does not load, and its import then fails on operators that were never declared. Captioning
needs none of them: declaring the two that torchvision looks up is enough for its Python parts.
"""

import importlib.util
from pathlib import Path
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
    spec = importlib.util.find_spec("torchvision")
    if _declared or spec is None or spec.origin is None or _loads(Path(spec.origin).parent):
        return
    import torch

    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    _declared.append(library)


def _loads(package: Path) -> bool:
    import torch

    for path in [*package.glob("_C.*so"), *package.glob("_C.*pyd")]:
        try:
            torch.ops.load_library(str(path))  # type: ignore[no-untyped-call]
        except (OSError, RuntimeError):
            continue
        return True
    return False
