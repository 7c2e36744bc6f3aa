"""What the frozen reference model's encoder makes of each picture, kept from epoch to epoch.

It never changes while a captioner is fine-tuned. Each picture is encoded by itself, so that what is
kept does not depend on the pictures beside it: a resumed run, which starts with nothing kept, goes
on with the same bits.
"""

from collections.abc import Callable, Sequence

import torch

from dico.models.huggingface.memory import concatenated, memory_bytes
from dico.policy.protocol import Images, Memory


class KeptMemory:
    """An encoder that looks up what it encoded before, in main memory, within a budget."""

    def __init__(self, encode: Callable[[Images], Memory], gigabytes: float) -> None:
        """Wraps ``encode``, of B images; with no budget it stays as it is."""
        self._encode, self._room = encode, gigabytes * 1e9
        self._keeps = gigabytes > 0
        self._kept: dict[int, Memory] = {}

    @torch.no_grad()
    def __call__(self, pictures: Sequence[int], images: Images) -> Memory:
        """What `encode` makes of B ``images``, whose numbers are ``pictures``."""
        if not self._keeps:
            return self._encode(images)
        pairs = zip(pictures, images.split(1), strict=True)
        return concatenated([self._one(picture, image) for picture, image in pairs])

    def _one(self, picture: int, image: Images) -> Memory:
        if picture in self._kept:
            return self._kept[picture].to(image.device)
        made = self._encode(image)
        size = memory_bytes(made)
        if size <= self._room:
            self._room -= size
            self._kept[picture] = made.cpu()
        return made
