"""Tells apart images that have one name in two files of a dataset, as splits counted anew have.

A file's ids are its own: ``0001`` of ``train`` and ``0001`` of ``test`` are two images. The first
keeps its id, the other gets its file's name before it. The same image under the same id stays as
it is, and is found by comparison.
"""

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
        known = self._seen.setdefault(hash(entry.image_id), (image, file))
        if known[0] != image and known[1] != file:
            entry.names.setdefault("image_id", entry.image_id)
            entry.image_id = f"{_label(part)}/{entry.image_id}"


def _label(part: Part) -> str:
    """What tells a file from the others: its split, or its name, or its folder's."""
    name = part.uri.rpartition("/")[2].partition(".")[0]
    if name in ("metadata", "data", "captions", "dataset"):
        name = parent(part.uri).rpartition("/")[2]
    return part.split or name
