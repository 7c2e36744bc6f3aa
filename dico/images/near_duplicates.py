"""Near-duplicate images: a small grey thumbnail of each, compared by the correlation of structure.

A thumbnail survives another encoding, size and brightness; its mirror image and its central crops
find mirrored and cropped copies. Correlated is local structure (each value less the mean of its
neighbourhood), because two different sunsets agree in their coarse layout and not in their detail:
between different photographs it stays below .6, between copies it is mostly above .9.

Up to `EXACT_ROWS` images all pairs are compared. Above, random hyperplanes hash the structure into
tables, and only images that share a table's entry are compared; copies are then found with a
probability of about .99 at a correlation of .95 and .9 at .9. Crops away from the centre are not found.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE_PX = 64
THUMB_BYTES = SIDE_PX * SIDE_PX
EXACT_ROWS = 8_000
MAX_ROWS_FOR_CROPS = 200_000
CROP_SHARES = (0.96, 0.92, 0.88, 0.84, 0.8, 0.76)
_SHAPES = {"3:2": (1 / 6, 0.0), "4:3": (1 / 8, 0.0), "2:3": (0.0, 1 / 6), "3:4": (0.0, 1 / 8)}
FINE, COARSE = 32, 16
_COARSE_SLACK = 0.15
_NUM_BITS = 384
_MAX_BUCKET = 400
_CHUNK = 2_048
Floats = npt.NDArray[np.float32]
Thumbs = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images that look alike."""

    first: int
    """Row of the first image."""
    second: int
    """Row of the second image."""
    kind: str
    """same, mirrored or cropped."""
    likeness: float
    """Correlation of the two thumbnails' structure, up to 1."""


def thumbnail(image: Image.Image) -> bytes:
    """The grey thumbnail of an upright image, 64 x 64 bytes."""
    return image.convert("L").resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX).tobytes()


def find_pairs(
    thumbs: Thumbs,
    usable: npt.NDArray[np.bool_],
    contents: npt.NDArray[np.uint64],
    min_likeness: float,
) -> list[Pair]:
    """Pairs of usable images of different content that look alike, the most alike first.

    Args:
        thumbs: thumbnails, (N, 64, 64).
        usable: which rows to compare, (N,).
        contents: hash of each row's file, (N,); equal files are not paired.
        min_likeness: least correlation, 0 to 1.
    """
    rows = np.flatnonzero(usable)
    _, first_of_content = np.unique(contents[rows], return_index=True)
    rows = rows[np.sort(first_of_content)]
    found: dict[tuple[int, int], Pair] = {}
    variants = ["same", "mirrored"]
    if len(rows) <= MAX_ROWS_FOR_CROPS:
        variants += [f"cropped {share}" for share in CROP_SHARES] + [
            "cropped " + shape for shape in _SHAPES
        ]
    search = _search_all if len(rows) <= EXACT_ROWS else _search_tables
    for variant in variants:
        for first, second, likeness in search(thumbs, rows, variant, min_likeness):
            key = (min(first, second), max(first, second))
            if first != second and (key not in found or found[key].likeness < likeness):
                found[key] = Pair(*key, variant.partition(" ")[0], likeness)
    return sorted(found.values(), key=lambda pair: (-pair.likeness, pair.first, pair.second))


def structure(thumbs: Thumbs, variant: str = "same", grid: int = FINE) -> Floats:
    """Unit vectors of the local structure of thumbnails: (N, 64, 64) to (N, grid * grid).

    A thumbnail without structure, such as one colour, gives zeros, which are like nothing.
    """
    kind, _, region = variant.partition(" ")
    pixels = thumbs.astype(np.float32)
    if kind == "mirrored":
        pixels = pixels[:, :, ::-1]
    low = (1 - float(region)) / 2 if region and region not in _SHAPES else 0.0
    left, top = _SHAPES.get(region, (low, low))
    rows, columns, means = _box(top, grid), _box(left, grid), _neighbourhood(grid)
    sampled = rows @ pixels @ columns.T
    local = (sampled - means @ sampled @ means.T).reshape(len(pixels), grid * grid)
    norms = np.linalg.norm(local, axis=1, keepdims=True)
    return np.asarray(np.where(norms > grid, local / np.maximum(norms, 1e-6), 0.0), np.float32)


@cache
def _box(low: float, grid: int) -> Floats:
    """Box filter from 64 samples to ``grid`` over the region [low, 1 - low]: (grid, 64)."""
    edges = np.linspace(low * SIDE_PX, (1 - low) * SIDE_PX, grid + 1)
    cells = np.arange(SIDE_PX)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    overlap = np.clip(overlap, 0, None)
    return np.asarray(overlap / overlap.sum(1, keepdims=True), np.float32)


@cache
def _neighbourhood(grid: int) -> Floats:
    """Mean over each cell's neighbourhood, an eighth of the side to either side: (grid, grid)."""
    near = abs(np.subtract.outer(np.arange(grid), np.arange(grid))) <= grid // 8
    return np.asarray(near / near.sum(1, keepdims=True), np.float32)


Found = Iterator[tuple[int, int, float]]


def _search_all(thumbs: Thumbs, rows: Rows, variant: str, least: float) -> Found:
    """All pairs on a coarse grid first, and what is near enough there on the fine one."""
    base = structure(thumbs[rows], "same", COARSE)
    for start in range(0, len(rows), _CHUNK):
        query = structure(thumbs[rows[start : start + _CHUNK]], variant, COARSE)
        pairs = np.argwhere(query @ base.T >= least - _COARSE_SLACK)
        pairs[:, 0] += start
        yield from _compared(thumbs, rows, pairs, variant, least)


def _compared(thumbs: Thumbs, rows: Rows, pairs: Rows, variant: str, least: float) -> Found:
    """Pairs (N, 2) of indices into ``rows`` whose fine structures correlate enough."""
    for start in range(0, len(pairs), 8 * _CHUNK):
        some = pairs[start : start + 8 * _CHUNK]
        queries, first = np.unique(some[:, 0], return_inverse=True)
        bases, second = np.unique(some[:, 1], return_inverse=True)
        query, base = structure(thumbs[rows[queries]], variant), structure(thumbs[rows[bases]])
        likeness = np.einsum("nd,nd->n", query[first], base[second])
        for k in np.flatnonzero(likeness >= least):
            yield int(rows[some[k, 0]]), int(rows[some[k, 1]]), float(likeness[k])


def _search_tables(thumbs: Thumbs, rows: Rows, variant: str, least: float) -> Found:
    base = _bits(thumbs, rows, "same")
    query = base if variant == "same" else _bits(thumbs, rows, variant)
    width = int(np.clip(np.ceil(np.log2(len(rows) / 32)), 8, 20))
    seen: list[Rows] = []
    for table in range(_NUM_BITS // width):
        seen += _table_pairs(query, base, table * width, width, variant == "same")
    pairs = np.unique(np.concatenate(seen or [np.empty((0, 2), np.int64)]), axis=0)
    yield from _compared(thumbs, rows, pairs, variant, least)


def _bits(thumbs: Thumbs, rows: Rows, variant: str) -> npt.NDArray[np.uint8]:
    """Signs of random projections of the structure: (N, 48) packed bytes."""
    planes = np.random.default_rng(20_240).standard_normal((FINE * FINE, _NUM_BITS))
    planes = planes.astype(np.float32)
    packed = np.empty((len(rows), _NUM_BITS // 8), np.uint8)
    for start in range(0, len(rows), _CHUNK):
        some = structure(thumbs[rows[start : start + _CHUNK]], variant)
        packed[start : start + _CHUNK] = np.packbits(some @ planes > 0, axis=1)
        blank = ~some.any(axis=1)
        noise = np.random.default_rng(start).integers(0, 256, (int(blank.sum()), _NUM_BITS // 8))
        packed[start : start + _CHUNK][blank] = noise
    return packed


def _table_pairs(
    query: npt.NDArray[np.uint8], base: npt.NDArray[np.uint8], low: int, width: int, same: bool
) -> list[Rows]:
    """Pairs (query row, base row) that share one table's entry and most of their bits."""
    base_keys, query_keys = _keys(base, low, width), _keys(query, low, width)
    order = np.argsort(base_keys, kind="stable")
    ordered = base_keys[order]
    begins = np.searchsorted(ordered, query_keys, "left")
    counts = np.minimum(np.searchsorted(ordered, query_keys, "right") - begins, _MAX_BUCKET)
    base_words, query_words = base.view(np.uint64), query.view(np.uint64)
    found = []
    for offset in range(int(counts.max(initial=0))):
        left = np.flatnonzero(counts > offset)
        right = order[begins[left] + offset]
        if same:
            left, right = left[left < right], right[left < right]
        differing = np.bitwise_count(query_words[left] ^ base_words[right]).sum(1)
        close = differing <= int(0.3 * _NUM_BITS)
        found.append(np.stack([left[close], right[close]], 1).astype(np.int64))
    return found


def _keys(packed: npt.NDArray[np.uint8], low: int, width: int) -> npt.NDArray[np.int64]:
    """``width`` bits from bit ``low`` on, as integers: (N,)."""
    first, last = low // 8, (low + width + 7) // 8
    value = np.zeros(len(packed), np.int64)
    for column in range(first, last):
        value = (value << 8) | packed[:, column]
    return (value >> (last * 8 - low - width)) & ((1 << width) - 1)
