"""Lists of images by split, as Flickr8k has them: ``Flickr_8k.trainImages.txt``, a name a line."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from dico.data.entries import Entry, split_in_name
from dico.data.formats import texts
from dico.errors import DicoError
from dico.storage.uris import is_remote, list_files, local_copy, parent

_LINES = 20
_NAME = re.compile(r"[\w./#-]+")


def is_split_list(uri: str) -> bool:
    """Whether a text file named like a split holds one name of an image a line."""
    name = uri.rpartition("/")[2]
    if not name.lower().endswith(".txt") or not split_in_name(name.rpartition(".")[0]):
        return False
    with local_copy(uri) as path:
        text = texts.head(str(path), 4_096)
    lines = [line.strip() for line in text.splitlines()[:_LINES] if line.strip()]
    return bool(lines) and all(_NAME.fullmatch(line) for line in lines)


def find_lists(captions_file: str) -> tuple[tuple[str, str], ...]:
    """The lists beside a captions file, as (split, file)."""
    folder = parent(captions_file)
    try:
        uris = list_files(folder) if is_remote(folder) else _beside(folder)
        found = [(split_in_name(_stem(uri)), uri) for uri in uris if is_split_list(uri)]
    except DicoError:
        return ()
    splits = [split for split, _ in found]
    return tuple(found) if len(set(splits)) == len(splits) else ()


@dataclass(slots=True)
class SplitLists:
    """What lists of names say of images."""

    splits: dict[str, set[str]] = field(default_factory=dict)
    """Name of an image, with and without its suffix, to the splits whose lists have it."""
    are_complete: bool = False
    """Whether train and another split have lists, so that an image in none belongs to no split."""

    def apply(self, entry: Entry) -> None:
        """Gives an image without a split that of its list; in two lists, or in none, is a finding."""
        if entry.split or not self.splits or not entry.uri:
            return
        name = entry.uri.rpartition("/")[2]
        found = self.splits.get(name) or self.splits.get(_without_suffix(name), set())
        if len(found) > 1:
            entry.findings.append(("split_conflict", f"in the lists of {', '.join(sorted(found))}"))
        elif found:
            entry.split = next(iter(found))
        elif self.are_complete:
            entry.findings.append(("split_unlisted", name))


def read_lists(lists: Sequence[tuple[str, str]]) -> SplitLists:
    """Reads all lists, as (split, file)."""
    told = {split for split, _ in lists}
    found = SplitLists(are_complete="train" in told and len(told) > 1)
    for split, uri in lists:
        with local_copy(uri) as path, texts.open_text(str(path)) as file:
            for line in file:
                name = line.strip().partition("#")[0].rpartition("/")[2]
                for one in {name, _without_suffix(name)} if name else ():
                    found.splits.setdefault(one, set()).add(split)
    return found


def _beside(folder: str) -> list[str]:
    return [
        item.path for item in sorted(os.scandir(folder), key=lambda i: i.name) if item.is_file()
    ]


def _stem(uri: str) -> str:
    return uri.rpartition("/")[2].rpartition(".")[0]


def _without_suffix(name: str) -> str:
    return name.rpartition(".")[0] or name
