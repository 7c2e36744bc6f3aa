"""Datasets that everyone uses, recognised, and their published counts asserted."""

from collections.abc import Mapping
from dataclasses import dataclass

from dico.data.formats import Dataset
from dico.data.formats.texts import head
from dico.storage.uris import is_remote

SUBSET_BELOW = 0.5
Bounds = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Known:
    """A dataset and its number of images by split."""

    name: str
    file_marks: tuple[str, ...]
    format: str
    train: int
    validation: int = 0
    test: int = 0

    @property
    def total(self) -> int:
        """Images of all splits."""
        return self.train + self.validation + self.test


KNOWN = (
    Known("COCO, Karpathy's splits", ("dataset_coco",), "karpathy", 113_287, 5_000, 5_000),
    Known("Flickr30k, Karpathy's splits", ("dataset_flickr30k",), "karpathy", 29_000, 1_014, 1_000),
    Known("Flickr8k, Karpathy's splits", ("dataset_flickr8k",), "karpathy", 6_000, 1_000, 1_000),
    Known("COCO 2017", ("captions_train2017", "captions_val2017"), "coco", 118_287, 5_000),
    Known("COCO 2014", ("captions_train2014", "captions_val2014"), "coco", 82_783, 40_504),
    Known("COCO 2017, train", ("captions_train2017",), "coco", 118_287),
    Known("COCO 2017, validation", ("captions_val2017",), "coco", 0, 5_000),
)


def match_known_dataset(source: Dataset, num_rows: int) -> tuple[str, Bounds]:
    """The dataset's name and the counts that it must have.

    A set of fewer than half the images is a subset: named, and not held to the counts.
    """
    known = _find(source)
    if known is None:
        return "", {}
    if num_rows < SUBSET_BELOW * known.total:
        return f"{known.name} (a subset of {num_rows} of {known.total} images)", {}
    counts = {
        f"total_{split}": {"min": float(count), "max": float(count)}
        for split in ("train", "validation", "test")
        if (count := getattr(known, split))
    }
    return known.name, counts


def _find(source: Dataset) -> Known | None:
    names = [part.uri.rpartition("/")[2] for part in source.parts]
    for known in KNOWN:
        marks = [any(mark in name for name in names) for mark in known.file_marks]
        if known.format == source.format and all(marks) and len(names) == len(marks):
            return known
    local = source.format == "karpathy" and not is_remote(source.parts[0].uri)
    if local and '"cocoid"' in head(source.parts[0].uri):
        return KNOWN[0]
    return None
