"""Caches the frozen reference encoder's output per image across epochs.

It never changes while a captioner is fine-tuned. Each image is encoded by itself, so that what is
kept does not depend on the images beside it: a resumed run, which starts with nothing kept, goes
on with the same bits.
"""

from collections.abc import Callable, Sequence

import torch

from dico.models.huggingface.memory import concatenated, memory_bytes
from dico.policy.protocol import Images, Memory


class EncoderCache:
    """An encoder that looks up what it encoded before, in main memory, within a budget."""

    def __init__(self, encode: Callable[[Images], Memory], gigabytes: float) -> None:
        """Wraps ``encode``, of B images; with no budget it stays as it is."""
        self._encode, self._room = encode, gigabytes * 1e9
        self._keeps = gigabytes > 0
        self._kept: dict[int, Memory] = {}

    @torch.no_grad()
    def __call__(self, indices: Sequence[int], images: Images) -> Memory:
        """What `encode` makes of B ``images``, whose indices are ``indices``."""
        if not self._keeps:
            return self._encode(images)
        pairs = zip(indices, images.split(1), strict=True)
        return concatenated([self._one(index, image) for index, image in pairs])

    def _one(self, index: int, image: Images) -> Memory:
        if index in self._kept:
            return self._kept[index].to(image.device)
        made = self._encode(image)  # by itself: its bits do not depend on its batch
        size = memory_bytes(made)
        if size <= self._room:
            self._room -= size
            self._kept[index] = made.cpu()
        return made
