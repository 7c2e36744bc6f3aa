"""Frozen weights of a captioner in 4 bits, by bitsandbytes; adapters on them are trained as on others.

QLoRA (Dettmers et al. 2023, arXiv 2305.14314): NormalFloat weights with quantised constants, products
in bfloat16. What is saved is not of 4 bits: the adapters are added to the weights as the checkpoint
has them, so that nothing of the rounding is left in the new captioner.
"""

import importlib.util
from typing import Any

import torch
from torch import nn

from dico.errors import ConfigError

PACKAGES = ("bitsandbytes", "accelerate")
INSTALL = "install 'dico-captioner[4bit]'"


def require_four_bits(device: str | torch.device) -> None:
    """Refuses where weights of 4 bits cannot be.

    Raises:
        ConfigError: a package is missing, or ``device`` is no CUDA device.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"captioner.load_in_4bit: needs the package {missing[0]}; {INSTALL}")
    if torch.device(device).type != "cuda":
        raise ConfigError(
            f"captioner.load_in_4bit: needs a GPU of CUDA, and this process computes on {device}; "
            "captioner.dtype=bfloat16 halves the weights anywhere"
        )


def four_bit_settings(device: str | torch.device) -> dict[str, Any]:
    """What ``from_pretrained`` takes besides to read a model's linear layers in 4 bits."""
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": config, "device_map": {"": torch.device(device)}}


def is_four_bit(model: nn.Module) -> bool:
    """Whether ``model`` was read in 4 bits."""
    return bool(getattr(model, "is_loaded_in_4bit", False))


def linear_kinds(model: nn.Module) -> set[type]:
    """The classes that linear layers of 4 bits have in ``model``."""
    if not is_four_bit(model):
        return set()
    from bitsandbytes.nn import Linear4bit

    return {Linear4bit}
