"""A vision-language model's memory of images: their prompts and their image features."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dico.models.huggingface.inputs import Inputs

_READ = ("pooler_output", "deepstack_features")
"""What language models read of the output of ``get_image_features``."""


@dataclass(frozen=True)
class ImageGroup:
    """B images whose prompts are equally long."""

    places: tuple[int, ...]
    """Their places in the batch."""
    images: tuple[Inputs, ...]
    """Inputs of each, pixels among them where ``features`` is None."""
    features: Any = None
    """The ModelOutput of ``get_image_features``; None where the model reads pixels beside the
    prompt."""
    states: Any = None
    """What the language model made of the prompts, where one pass is to serve several."""

    def __len__(self) -> int:
        """Number of images."""
        return len(self.places)


@dataclass(frozen=True)
class ImageMemory:
    """What is computed once per image of a batch, in groups of one prompt length."""

    groups: tuple[ImageGroup, ...]
    """Every image of the batch is in one of them."""

    def __len__(self) -> int:
        """Number of images."""
        return sum(map(len, self.groups))

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.groups[0].images[0]["input_ids"].device

    @property
    def requires_grad(self) -> bool:
        """Whether weights that are trained made it."""
        return any(x.requires_grad for group in self.groups for x in tensors(group.features))

    def detach(self) -> "ImageMemory":
        """The same without its graph."""
        return self._map(Tensor.detach)

    def to(self, device: torch.device | str) -> "ImageMemory":
        """The same on ``device``."""
        return self._map(lambda x: x.to(device))

    def cpu(self) -> "ImageMemory":
        """The same in main memory."""
        return self.to("cpu")

    def parts(self) -> "list[ImageMemory]":
        """The memory of each group alone."""
        alone = [replace(group, places=tuple(range(len(group)))) for group in self.groups]
        return [ImageMemory((group,)) for group in alone]

    def rows(self, per_image: int) -> Iterator[tuple[ImageGroup, Tensor]]:
        """Each group with the places of its captions, ``per_image`` of each side by side."""
        within = torch.arange(per_image, device=self.device)
        for group in self.groups:
            places = torch.tensor(group.places, device=self.device)
            yield group, (places[:, None] * per_image + within).flatten()

    def _map(self, change: Callable[[Tensor], Tensor]) -> "ImageMemory":
        return ImageMemory(
            tuple(
                replace(
                    group,
                    images=tuple(
                        {name: change(x) for name, x in one.items()} for one in group.images
                    ),
                    features=mapped(change, group.features),
                )
                for group in self.groups
            )
        )


def concatenated(memories: Sequence[Tensor] | Sequence[ImageMemory]) -> Tensor | ImageMemory:
    """The memory of all images of ``memories``, in their order."""
    groups: list[ImageGroup] = []
    first = 0
    for memory in memories:
        if isinstance(memory, Tensor):
            return torch.cat([one for one in memories if isinstance(one, Tensor)])  # (B, P, D)
        for group in memory.groups:
            places = tuple(first + place for place in group.places)
            groups.append(replace(group, places=places))
        first += len(memory)
    return ImageMemory(tuple(groups))


def memory_bytes(memory: Tensor | ImageMemory) -> int:
    """Bytes that it takes."""
    held: list[Tensor] = [memory] if isinstance(memory, Tensor) else []
    for group in () if isinstance(memory, Tensor) else memory.groups:
        held += [x for one in group.images for x in one.values()]
        held += tensors(group.features)
    return sum(x.numel() * x.element_size() for x in held)


def read_part(output: Any) -> Any:
    """A tower's output without what no language model reads, such as all layers' states."""
    kept = {name: output[name] for name in _READ if output.get(name) is not None}
    return type(output)(**kept) if "pooler_output" in kept else output


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in a ModelOutput, a list or a tuple."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors(part)


def mapped(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """``value`` with each tensor changed; a copy, down to its lists."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return type(value)(**{name: mapped(change, part) for name, part in value.items()})
    if isinstance(value, list | tuple):
        return type(value)(mapped(change, part) for part in value)
    return value
