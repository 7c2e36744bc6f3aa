"""Comparisons across rows: repeated ids and images, leaks between splits."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dico.data.manifest import SPLITS
from dico.images.near_duplicates import Pair, find_pairs
from dico.validation.config import ValidationConfig
from dico.validation.scan import Scan

_KEEP_ORDER = {"test": 0, "validation": 1, "train": 2, "": 3}


@dataclass(slots=True)
class Comparisons:
    """Findings by row, and the pairs that they speak of."""

    findings: dict[int, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    """Row to pairs of code and detail."""
    pairs: list[Pair] = field(default_factory=list)
    """Images that look alike."""
    groups: dict[int, int] = field(default_factory=dict)
    """Row to the first row of its group of like images, for rows that have any."""


def compare(scan: Scan, config: ValidationConfig) -> Comparisons:
    """Compares all rows with each other."""
    result = Comparisons()
    ids = np.frombuffer(scan.ids, np.uint64) if scan.num_rows else np.empty(0, np.uint64)
    contents = np.frombuffer(scan.contents, np.uint64) if scan.num_rows else ids
    splits = np.frombuffer(scan.splits, np.int8) if scan.num_rows else np.empty(0, np.int8)
    usable = contents != 0
    same_image = list(equal_groups(contents, usable))
    _identical(same_image, splits, ids, result)
    _repeated_ids(ids, contents, result)
    if config.near_duplicates and config.image_check == "decode":
        result.pairs = find_pairs(scan.thumbs(), usable, contents, config.near_duplicate_likeness)
        _similar(result.pairs, splits, result)
    _repeated_captions(scan, splits, result)
    result.groups = _groups(same_image, result.pairs)
    return result


def equal_groups(
    values: npt.NDArray[np.uint64], usable: npt.NDArray[np.bool_]
) -> Iterable[npt.NDArray[np.int64]]:
    """Rows of equal value, for each value that occurs twice or more; rows ascending."""
    rows = np.flatnonzero(usable)
    order = rows[np.argsort(values[rows], kind="stable")]
    ordered = values[order]
    if not len(order):
        return
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    for group in np.split(order, starts[1:]):
        if len(group) > 1:
            yield group


def _split(splits: npt.NDArray[np.int8], row: int) -> str:
    return SPLITS[splits[row]] if splits[row] >= 0 else ""


def _identical(
    groups: list[npt.NDArray[np.int64]],
    splits: npt.NDArray[np.int8],
    ids: npt.NDArray[np.uint64],
    result: Comparisons,
) -> None:
    """One image twice: the copy in the more protected split stays, the first among equals."""
    for group in groups:
        ranked = sorted(map(int, group), key=lambda row: (_KEEP_ORDER[_split(splits, row)], row))
        kept, *others = ranked
        for row in others:
            ours, theirs = _split(splits, row), _split(splits, kept)
            if ours != theirs and ours and theirs:
                detail = f"the same file as row {kept} of {theirs}"
                result.findings[row].append(("leak_identical", detail))
            elif ids[row] != ids[kept] or not ids[row]:
                result.findings[row].append(("image_two_ids", f"the same file as row {kept}"))


def _repeated_ids(
    ids: npt.NDArray[np.uint64], contents: npt.NDArray[np.uint64], result: Comparisons
) -> None:
    for group in equal_groups(ids, ids != 0):
        kept, *others = map(int, group)
        for row in others:
            same = contents[row] == contents[kept] and contents[row] != 0
            what = "the same image: join their captions" if same else "another image"
            result.findings[row].append(("id_duplicate", f"row {kept} has this id and {what}"))


def _similar(pairs: list[Pair], splits: npt.NDArray[np.int8], result: Comparisons) -> None:
    for pair in pairs:
        first, second = pair.first, pair.second
        ranks = [_KEEP_ORDER[_split(splits, row)] for row in (first, second)]
        kept, row = (first, second) if ranks[0] <= ranks[1] else (second, first)
        ours, theirs = _split(splits, row), _split(splits, kept)
        detail = (
            f"{pair.kind}, likeness {pair.likeness:.2f}, to row {kept} of {theirs or 'no split'}"
        )
        leak = ours != theirs and ours and theirs
        code = "leak_similar" if leak else "image_similar"
        if not any(found == code for found, _ in result.findings[row]):
            result.findings[row].append((code, detail))


def _repeated_captions(scan: Scan, splits: npt.NDArray[np.int8], result: Comparisons) -> None:
    """Texts on very many images, and long texts both in train and in another split."""
    if not len(scan.caption_hashes):
        return
    hashes = np.frombuffer(scan.caption_hashes, np.uint64)
    rows = np.frombuffer(scan.caption_rows, np.dtype(f"u{scan.caption_rows.itemsize}"))
    is_long = np.frombuffer(scan.caption_is_long, np.int8).astype(bool)
    limit = max(20, scan.num_rows // 200)
    order, starts, counts = _counts(hashes)
    for index in np.flatnonzero(counts >= limit):
        found = np.unique(rows[order[starts[index] : starts[index] + counts[index]]])
        if len(found) >= limit:
            for row in found:
                detail = f"a text on {len(found)} images"
                result.findings[int(row)].append(("caption_repeated", detail))
    in_train = np.unique(hashes[is_long & (splits[rows] == 0)])
    elsewhere = np.flatnonzero(is_long & (splits[rows] > 0))
    for at in elsewhere[np.isin(hashes[elsewhere], in_train)]:
        row = int(rows[at])
        detail = f"a caption of train, in {_split(splits, row)}"
        result.findings[row].append(("leak_caption", detail))


def _counts(
    hashes: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    return order, starts, np.diff(np.r_[starts, len(ordered)])


def _groups(same: list[npt.NDArray[np.int64]], pairs: list[Pair]) -> dict[int, int]:
    """Union of all like images: row to the smallest row of its group."""
    parent: dict[int, int] = {}

    def root(row: int) -> int:
        while parent.setdefault(row, row) != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    links = [(int(group[0]), int(row)) for group in same for row in group[1:]]
    links += [(pair.first, pair.second) for pair in pairs]
    for a, b in links:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return {row: root(row) for row in list(parent)}
