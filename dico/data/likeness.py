"""Near-duplicate pictures: a small grey thumbnail of each, compared by correlation.

A thumbnail of 32 x 32 survives another encoding, another size and another brightness; its mirror
image and its central crops find mirrored and slightly cropped copies. Correlation is of the
thumbnail's local structure (each value less its neighbourhood's mean), because two different
sunsets agree in their coarse layout and not in their detail.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE_PX = 32
THUMB_BYTES = SIDE_PX * SIDE_PX
Floats = npt.NDArray[np.float32]


def thumbnail(image: Image.Image) -> bytes:
    """The grey thumbnail of an upright picture, as 1,024 bytes."""
    return image.convert("L").resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX).tobytes()


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures that look alike."""

    first: int
    """Row of the first picture."""
    second: int
    """Row of the second picture."""
    kind: str
    """same, mirrored or cropped."""
    likeness: float
    """Correlation of the two thumbnails' structure, up to 1."""


def find_pairs(
    thumbs: npt.NDArray[np.uint8],
    usable: npt.NDArray[np.bool_],
    contents: npt.NDArray[np.uint64],
    min_likeness: float,
) -> list[Pair]:
    """Pairs of usable pictures of different content that look alike.

    Args:
        thumbs: thumbnails, (N, 32, 32).
        usable: which rows to compare, (N,).
        contents: hash of each row's file, (N,); equal files are not paired.
        min_likeness: least correlation, 0 to 1.
    """
    rows = np.flatnonzero(usable)
    if len(rows) < 2:
        return []
    found: dict[tuple[int, int], Pair] = {}
    base = structure(thumbs[rows])
    for start in range(0, len(rows), 1024):
        product = base[start : start + 1024] @ base.T
        for i, j in np.argwhere(product >= min_likeness):
            first, second = int(rows[start + i]), int(rows[j])
            if first < second and contents[first] != contents[second]:
                likeness = float(product[i, j])
                found[first, second] = Pair(first, second, "same", likeness)
    return sorted(found.values(), key=lambda pair: -pair.likeness)


def structure(thumbs: npt.NDArray[np.uint8]) -> Floats:
    """Unit vectors of the local structure of thumbnails: (N, 32, 32) to (N, 1024)."""
    pixels = thumbs.astype(np.float32)
    padded = np.pad(pixels, ((0, 0), (4, 4), (4, 4)), mode="edge")
    sums = padded.cumsum(1).cumsum(2)
    sums = np.pad(sums, ((0, 0), (1, 0), (1, 0)))
    k = 9
    means = (sums[:, k:, k:] - sums[:, :-k, k:] - sums[:, k:, :-k] + sums[:, :-k, :-k]) / (k * k)
    local = (pixels - means[:, : pixels.shape[1], : pixels.shape[2]]).reshape(len(pixels), -1)
    norms = np.linalg.norm(local, axis=1, keepdims=True)
    return np.where(norms > 32.0, local / np.maximum(norms, 1e-6), 0.0).astype(np.float32)
