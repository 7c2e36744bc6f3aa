"""Low-rank adapters (LoRA) inside a captioner: alone trained, switched off, merged.

Hu et al. 2021 (arXiv 2106.09685), by the package peft. With its adapters off a model is what it was
before, so the same weights serve as the reference model.
"""

import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from dico.errors import ConfigError, one_line
from dico.models.captioner_config import HuggingFaceConfig
from dico.models.huggingface.four_bit import linear_kinds


def add_adapters(model: nn.Module, config: HuggingFaceConfig, language: nn.Module) -> None:
    """Puts adapters into ``model``, a transformers model, and freezes all else; changes no output.

    Args:
        model: of any type.
        config: their sizes, and which modules have them.
        language: the part of it that is adapted unless modules are named, so that what the vision
            tower makes of an image serves the policy and the reference model together.

    Raises:
        ConfigError: peft is not installed, or no module has one of the names.
    """
    peft = _peft()
    lora = peft.LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(config.lora_targets) or _linears(model, language),
        exclude_modules=_tied(model),
    )
    model.requires_grad_(False)
    try:
        with warnings.catch_warnings():  # it mends the layout of GPT-2's matrices, and says so
            warnings.filterwarnings("ignore", "fan_in_fan_out is set", UserWarning)
            peft.inject_adapter_in_model(lora, model)
    except ValueError as error:
        raise ConfigError(f"captioner.lora_targets: {one_line(error)}") from None
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()  # beside frozen weights of bfloat16 too
    if experts := experts_without_adapters(model):
        print(
            f"captioner: adapters leave the weights of {len(experts)} mixtures of experts as they "
            f"are, such as {experts[0]}",
            file=sys.stderr,
        )


@contextmanager
def without_adapters(model: nn.Module) -> Iterator[None]:
    """``model`` as it was before its adapters."""
    layers = list(_layers(model))
    for _, _, layer in layers:  # peft's own switch would freeze them too
        layer._disable_adapters = True
    try:
        yield
    finally:
        for _, _, layer in layers:
            layer._disable_adapters = False


def merge_adapters(model: nn.Module) -> None:
    """Adds the adapters to the weights they belong to and takes them out."""
    for parent, name, layer in list(_layers(model)):
        layer.merge()
        setattr(parent, name, layer.get_base_layer())
    model.requires_grad_(True)


def copy_adapters(source: nn.Module, target: nn.Module) -> None:
    """Gives the adapters of ``target`` the weights of those of ``source``, which has the same ones."""
    own = dict(target.named_parameters())
    with torch.no_grad():
        for name, weight in source.named_parameters():
            if ".lora_" in name:
                own[name].copy_(weight)


def has_adapters(model: nn.Module) -> bool:
    """Whether `add_adapters` has put any into ``model``."""
    return any(name.endswith("lora_A") for name, _ in model.named_modules())


def _linears(model: nn.Module, language: nn.Module) -> list[str]:
    """Names of all linear layers of the language model but the head."""
    speaking = {id(part) for part in language.modules()}
    head = model.get_output_embeddings()  # type: ignore[operator]
    kinds = _linear_kinds() | linear_kinds(model)
    names = [
        name
        for name, part in model.named_modules()
        # A subclass, as a router of experts, may not return what a linear layer returns.
        if type(part) in kinds and part is not head and id(part) in speaking
    ]
    if not names:
        raise ConfigError(
            "captioner.lora_targets: the language model has no linear layers; name some"
        )
    return names


def experts_without_adapters(model: nn.Module) -> list[str]:
    """Names of modules whose weights are those of many experts at once, which adapters leave out."""
    return [
        name
        for name, part in model.named_modules()
        if any(weight.dim() == 3 for weight in part.parameters(recurse=False))
        and "expert" in name.lower()
    ]


def _linear_kinds() -> set[type]:
    """What peft puts adapters into: linear layers, and GPT-2's, which hold them turned round."""
    from transformers.pytorch_utils import Conv1D

    return {nn.Linear, Conv1D}


def _tied(model: nn.Module) -> list[str]:
    """Names of modules that share their weight, as a head does with its word table.

    An adapter of one, once merged, would change the other too.
    """
    owners: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        if isinstance(getattr(module, "weight", None), nn.Parameter):
            owners.setdefault(id(module.weight), []).append(name)
    return [name for names in owners.values() if len(names) > 1 for name in names]


def _layers(model: nn.Module) -> Iterator[tuple[nn.Module, str, Any]]:
    """Each adapted layer, with its parent and its name there."""
    if not has_adapters(model):
        return
    kind = importlib.import_module("peft.tuners.tuners_utils").BaseTunerLayer
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, kind):
                yield parent, name, child


def _peft() -> Any:
    try:
        return importlib.import_module("peft")
    except ImportError:
        raise ConfigError(
            "captioner.lora_rank: adapters need the package peft; install dico-captioner[lora]"
        ) from None
