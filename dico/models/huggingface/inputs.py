"""A processor's outputs image by image, and batches of them without padded prompts.

An image's prompt is as long as its size and its tiles ask for. Images whose prompts are equally
long go through a model together; others do not: a padded prompt would need masks and positions that
each architecture wants otherwise, and that are silently wrong where one is forgotten.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from dico.errors import DataError

Inputs = Mapping[str, Tensor]
"""A processor's output for one or several images: ``input_ids`` (B, P), pixels and the like."""


class InputBatch(Sequence[Inputs]):
    """The inputs of B images, of any sizes."""

    def __init__(self, images: Sequence[Inputs]) -> None:
        self._images = list(images)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._images)

    def __getitem__(self, index: int) -> Inputs:  # type: ignore[override]
        """One image's."""
        return self._images[index]

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self._images[0]["input_ids"].device

    def to(self, device: torch.device | str) -> "InputBatch":
        """The same on ``device``."""
        return InputBatch([{name: x.to(device) for name, x in one.items()} for one in self._images])

    def split(self, size: int) -> list["InputBatch"]:
        """Batches of ``size`` images, in order."""
        starts = range(0, len(self), size)
        return [InputBatch(self._images[start : start + size]) for start in starts]

    def groups(self, alone: bool = False) -> Iterator[tuple[list[int], list[Inputs]]]:
        """Images that fit one pass, with their places in the batch.

        Args:
            alone: whether each image is a group of its own.
        """
        places: dict[object, list[int]] = {}
        for place, one in enumerate(self._images):
            places.setdefault(place if alone else _kind(one), []).append(place)
        for group in places.values():
            yield group, [self._images[place] for place in group]


def batch_of(images: Sequence[Tensor | Inputs]) -> Tensor | InputBatch:
    """One batch of what a policy's ``preprocess`` made of images: (B, 3, H, W), or inputs.

    Raises:
        DataError: pixels of different sizes, which fit no batch.
    """
    tensors = [one for one in images if isinstance(one, Tensor)]
    if len(tensors) < len(images):
        return InputBatch([one for one in images if not isinstance(one, Tensor)])
    if len({one.shape for one in tensors}) > 1:
        raise DataError(
            "captioner: its image processor keeps each image's proportions, so images do not "
            "fit one batch; set do_center_crop and crop_size there"
        )
    return torch.stack(tensors)  # B times (3, H, W) -> (B, 3, H, W)


def num_bytes(image: Tensor | Inputs) -> int:
    """Memory that one image's pixels or inputs take."""
    tensors = [image] if isinstance(image, Tensor) else image.values()
    return sum(x.numel() * x.element_size() for x in tensors)


def collate(images: Sequence[Inputs], names: Collection[str] | None = None) -> dict[str, Tensor]:
    """The inputs of several images of one group as a model takes them: one behind the other.

    Args:
        images: of one group.
        names: which inputs; all if not given.
    """
    wanted = [name for name in images[0] if names is None or name in names]
    return {name: torch.cat([one[name] for one in images]) for name in wanted}  # (B, ...) each


def _kind(one: Inputs) -> tuple[tuple[str, torch.Size], ...]:
    """What images of one group share: their prompts' length, and shapes that must not differ."""
    return tuple((name, x.shape[1:]) for name, x in sorted(one.items()))
