"""What processors make of pictures, one by one, and batches of it without a padded prompt.

A picture's prompt is as long as its size and its tiles ask for. Pictures whose prompts are equally
long go through a model together; others do not: a padded prompt would need masks and positions that
each architecture wants otherwise, and that are silently wrong where one is forgotten.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from dico.errors import DataError

Inputs = Mapping[str, Tensor]
"""Of one picture or of several alike: ``input_ids`` (B, P) and whatever the model sees by."""


class InputBatch(Sequence[Inputs]):
    """The inputs of B pictures, of any sizes."""

    def __init__(self, pictures: Sequence[Inputs]) -> None:
        self._pictures = list(pictures)

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self._pictures)

    def __getitem__(self, index: int) -> Inputs:  # type: ignore[override]
        """One picture's."""
        return self._pictures[index]

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self._pictures[0]["input_ids"].device

    def to(self, device: torch.device | str) -> "InputBatch":
        """The same on ``device``."""
        return InputBatch(
            [{name: x.to(device) for name, x in one.items()} for one in self._pictures]
        )

    def split(self, size: int) -> list["InputBatch"]:
        """Batches of ``size`` pictures, in order."""
        starts = range(0, len(self), size)
        return [InputBatch(self._pictures[start : start + size]) for start in starts]

    def groups(self, alone: bool = False) -> Iterator[tuple[list[int], list[Inputs]]]:
        """Pictures that fit one pass, with their places in the batch.

        Args:
            alone: whether each picture is a group of its own.
        """
        places: dict[object, list[int]] = {}
        for place, one in enumerate(self._pictures):
            places.setdefault(place if alone else _kind(one), []).append(place)
        for group in places.values():
            yield group, [self._pictures[place] for place in group]


def batch_of(pictures: Sequence[Tensor | Inputs]) -> Tensor | InputBatch:
    """One batch of what a policy's ``preprocess`` made of pictures: (B, 3, H, W), or inputs.

    Raises:
        DataError: pixels of different sizes, which fit no batch.
    """
    tensors = [one for one in pictures if isinstance(one, Tensor)]
    if len(tensors) < len(pictures):
        return InputBatch([one for one in pictures if not isinstance(one, Tensor)])
    if len({one.shape for one in tensors}) > 1:
        raise DataError(
            "captioner: its image processor keeps each picture's proportions, so pictures do not "
            "fit one batch; set do_center_crop and crop_size there"
        )
    return torch.stack(tensors)


def num_bytes(picture: Tensor | Inputs) -> int:
    """Memory that one picture's pixels or inputs take."""
    tensors = [picture] if isinstance(picture, Tensor) else picture.values()
    return sum(x.numel() * x.element_size() for x in tensors)


def collate(pictures: Sequence[Inputs], names: Collection[str] | None = None) -> dict[str, Tensor]:
    """The inputs of several pictures of one group as a model takes them: one behind the other.

    Args:
        pictures: of one group.
        names: which inputs; all if not given.
    """
    wanted = [name for name in pictures[0] if names is None or name in names]
    return {name: torch.cat([one[name] for one in pictures]) for name in wanted}


def _kind(one: Inputs) -> tuple[tuple[str, torch.Size], ...]:
    """What pictures of one group share: their prompts' length, and shapes that must not differ."""
    return tuple((name, x.shape[1:]) for name, x in sorted(one.items()))
