"""The state of every random generator of a process, as tensors and JSON values.

Training draws from seed and step alone, so nothing of its own depends on these; a reward or a
metric that a user brings may.
"""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor


def rng_tensors() -> dict[str, Tensor]:
    """States of torch's generators: ``cpu``, and ``cuda/0``, ... where there are GPUs."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda/{i}": s for i, s in enumerate(torch.cuda.get_rng_state_all())}
    return states


def rng_values() -> dict[str, Any]:
    """States of Python's and of numpy's global generators, as JSON values."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached],
    }


def restore_rng(tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    """Puts back what `rng_tensors` and `rng_values` gave; states of absent GPUs are left out."""
    if "cpu" in tensors:
        torch.set_rng_state(tensors["cpu"])
    for index in range(torch.cuda.device_count()):
        if f"cuda/{index}" in tensors:
            torch.cuda.set_rng_state(tensors[f"cuda/{index}"], index)
    if "python" in values:
        version, words, gauss = values["python"]
        random.setstate((version, tuple(words), gauss))
    if "numpy" in values:
        name, keys, position, has_gauss, cached = values["numpy"]
        np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
