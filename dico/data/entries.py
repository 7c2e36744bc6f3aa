"""`Entry`: one image as parsed from a dataset file, unvalidated."""

import re
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Entry:
    """One image as its dataset names it; captions may still be anything."""

    image_id: str
    """Name of the image; empty when the dataset gives none."""
    uri: str
    """Where the image is: path, s3:// or ``shard.tar#member``; empty when the entry is broken."""
    captions: list[Any]
    """Captions as found; checks tell which are text."""
    split: str
    """train, validation, test, or empty when the dataset does not say."""
    where: str
    """File and line, or file and item, for messages."""
    findings: list[tuple[str, str]] = field(default_factory=list)
    """Pairs of a finding's code and its detail, as far as the format's reader sees them."""
    positive_uris: list[str] = field(default_factory=list)
    """Other renderings of the same scene."""
    positive_captions: list[Any] = field(default_factory=list)
    """Paraphrases of the captions."""
    image_bytes: bytes | None = None
    """The image itself where the format carries it (tars read in one pass)."""
    names: dict[str, str] = field(default_factory=dict)
    """Other names of the image by what the dataset calls them, such as ``cocoid``."""
    num_rows: int = 1
    """Rows of the dataset's file that this entry stands for."""
    other_places: list[str] = field(default_factory=list)
    """File and line, or item, of the rows after the first that speak of this image."""
    left_out: list[tuple[str, Any]] = field(default_factory=list)
    """Captions that the reader leaves out, as pairs of a finding's code and the caption."""


SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "restval": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "": "",
}


_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def split_in_name(name: str) -> str:
    """The split that a file's or folder's name tells: ``captions_train2017.json``, ``devImages``.

    Empty where it tells none, or more than one.
    """
    words = (word.lower() for word in _WORD.findall(name))
    found = {SPLIT_NAMES[word] for word in words if SPLIT_NAMES.get(word)}
    return found.pop() if len(found) == 1 else ""


def normal_split(name: object, entry_findings: list[tuple[str, str]]) -> str:
    """The split's own word for a dataset's, as ``qual_test``; an unknown one becomes a finding."""
    if name is None:
        return ""
    if isinstance(name, str) and name.strip().lower() in SPLIT_NAMES:
        return SPLIT_NAMES[name.strip().lower()]
    if isinstance(name, str) and (told := split_in_name(name)):
        return told
    entry_findings.append(("split_unknown", f"split {name!r}"[:200]))
    return ""
