"""Pixels of training images: decoded once and kept in memory as far as a budget allows."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from dico.images.load import load_validated
from dico.models.huggingface.inputs import batch_of, num_bytes
from dico.policy import Policy
from dico.policy.protocol import Images, Seen
from dico.process.limits import num_threads

DEFAULT_BUDGET_BYTES = 1 << 30


class PixelCache:
    """Preprocessed images by URI; kept until ``budget_bytes`` are used, then decoded each time."""

    def __init__(
        self,
        preprocess: Callable[[Image.Image], Seen],
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
    ) -> None:
        self._preprocess = preprocess
        self._kept: dict[str, Seen] = {}
        self._free_bytes = budget_bytes

    def pixels(self, uris: Sequence[str]) -> Images:
        """Pixels (B, 3, H, W), float32, or the inputs of a processor, as ``preprocess`` makes them.

        Images that are not kept are decoded side by side.
        """
        missing = [uri for uri in dict.fromkeys(uris) if uri not in self._kept]
        # Pillow decodes without the interpreter's lock.
        with ThreadPoolExecutor(max_workers=num_threads()) as threads:
            made = dict(zip(missing, threads.map(self._decode, missing), strict=True))
        for uri, pixels in made.items():
            size = num_bytes(pixels)
            if size <= self._free_bytes:
                self._free_bytes -= size
                self._kept[uri] = pixels
        return batch_of([made[uri] if uri in made else self._kept[uri] for uri in uris])

    def _decode(self, uri: str) -> Seen:
        return self._preprocess(load_validated(uri))


def pixel_cache_of(policy: Policy) -> PixelCache | None:
    """The pixels that ``policy`` sees; None where it reads stored features."""
    return None if policy.preprocess is None else PixelCache(policy.preprocess)


def random_crops(pixels: Tensor, generator: torch.Generator, least_area: float = 0.5) -> Tensor:
    """Another view of each image: a random square crop, resized back; (B, 3, H, W).

    No mirroring: captions say left and right.
    """
    side = pixels.shape[-1]
    views = []
    for image in pixels:
        area, x, y = torch.rand(3, generator=generator).tolist()
        # An area between least_area and 1, evenly; its side is the root.
        crop = max(1, round(side * (least_area + (1 - least_area) * area) ** 0.5))
        left, top = round(x * (side - crop)), round(y * (side - crop))
        view = image[None, :, top : top + crop, left : left + crop]
        views.append(F.interpolate(view, (side, side), mode="bilinear", align_corners=False))
    return torch.cat(views)  # (B, 3, H, W)
