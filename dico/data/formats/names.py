"""Tells apart images that have one name in two files of a dataset, as splits counted anew have.

A file's ids are its own: ``0001`` of ``train`` and ``0001`` of ``test`` are two images. The first
keeps its id, the other gets its file's name before it. The same image under the same id stays as
it is, and is found by comparison.
"""

import itertools
from collections.abc import Iterator

from dico.data.entries import Entry
from dico.data.formats.dataset import Part
from dico.storage.uris import parent


class DistinctNames:
    """The ids that were seen, each with the image that has it."""

    def __init__(self, several: bool) -> None:
        self._seen: dict[int, tuple[int, int]] | None = {} if several else None

    def tell_apart(self, entry: Entry, part: Part) -> None:
        """Gives an entry another id where an earlier file uses its id for another image."""
        if self._seen is None or not entry.image_id or not entry.uri:
            return
        image, file = hash(entry.uri), hash(part.uri)
        own = entry.image_id
        for name in itertools.chain([own], (f"{label}/{own}" for label in _labels(part))):
            known = self._seen.setdefault(hash(name), (image, file))
            if known[0] == image or known[1] == file:
                break
        if name != own:
            entry.names.setdefault("image_id", own)
            entry.image_id = name


def _labels(part: Part) -> Iterator[str]:
    """What tells a file from the others: its split, or its name, or its folder's, or a number."""
    name = part.uri.rpartition("/")[2].partition(".")[0]
    folder = parent(part.uri).rpartition("/")[2]
    if name in ("metadata", "data", "captions", "dataset"):
        name = folder
    yield from (label for label in (part.split, name, f"{folder}/{name}") if label)
    yield from (f"{name}-{number}" for number in itertools.count(2))
