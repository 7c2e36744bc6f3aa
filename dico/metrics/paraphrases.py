"""METEOR's paraphrase table, cut down to the references at hand.

The table has 5.27 million entries (phrase, paraphrase); loading it takes Java 6 s and 1.3 GB. An
entry can only count where one of its phrases is in a reference, so entries of which neither is are
left out: scores are bit-equal. What is kept is cached, for the next evaluation has the same
references.
"""

import gzip
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from dico.storage import atomic_write

_RUN = re.compile(r"[^\W_]+")
_PLAIN = re.compile(rb"[a-z0-9 ]+\Z")
_CHUNK_BYTES = 1 << 24
_LINES_PER_ENTRY = 3


class Needed(NamedTuple):
    """Words of the references, and pairs of words that stand side by side."""

    words: frozenset[bytes]
    pairs: frozenset[bytes]

    @classmethod
    def of(cls, references: Iterable[str]) -> "Needed":
        """Collects both; punctuation, which METEOR splits its own way, is skipped."""
        words: set[str] = set()
        pairs: set[str] = set()
        for text in set(references):
            runs = _RUN.findall(text.lower())
            words.update(runs)
            pairs.update(map(" ".join, pairwise(runs)))
        return cls(frozenset(map(str.encode, words)), frozenset(map(str.encode, pairs)))

    def __or__(self, other: "Needed") -> "Needed":
        return Needed(self.words | other.words, self.pairs | other.pairs)

    def covers(self, other: "Needed") -> bool:
        """Whether a table cut down to these serves the others too."""
        return other.words <= self.words and other.pairs <= self.pairs

    def has(self, phrase: bytes) -> bool:
        """Whether a phrase may be in a reference; always where it is more than letters and digits."""
        if not _PLAIN.match(phrase):
            return True
        words = phrase.split()
        return self.words.issuperset(words) and self.pairs.issuperset(
            map(b" ".join, pairwise(words))
        )

    def digest(self) -> str:
        """A name for the table that is cut down to these."""
        text = b"\n".join([*sorted(self.words), b"", *sorted(self.pairs)])
        return hashlib.sha256(text).hexdigest()[:32]


def cut_down(table: Path, needed: Needed) -> Path:
    """The cached table that holds what ``needed`` may call for; written if it is not there yet."""
    place = cache_folder() / f"paraphrases-{needed.digest()}.gz"
    if not place.is_file():
        with atomic_write(place) as temporary, gzip.open(temporary, "wb", compresslevel=1) as file:
            for entries in _entries(table):
                file.write(_kept(entries, needed))
    return place


def cache_folder() -> Path:
    """Where cut-down tables are kept: $XDG_CACHE_HOME/dico/meteor."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "dico" / "meteor"


def _entries(table: Path) -> Iterator[list[bytes]]:
    """Lines of whole entries: probability, phrase, paraphrase."""
    rest = b""
    with gzip.open(table) as file:
        while chunk := file.read(_CHUNK_BYTES):
            lines = (rest + chunk).split(b"\n")
            whole = (len(lines) - 1) // _LINES_PER_ENTRY * _LINES_PER_ENTRY
            yield lines[:whole]
            rest = b"\n".join(lines[whole:])
    yield rest.split(b"\n")[:_LINES_PER_ENTRY] if rest else []


def _kept(lines: list[bytes], needed: Needed) -> bytes:
    phrases, paraphrases = lines[1::_LINES_PER_ENTRY], lines[2::_LINES_PER_ENTRY]
    wanted = {phrase for phrase in {*phrases, *paraphrases} if needed.has(phrase)}
    starts = (
        k * _LINES_PER_ENTRY
        for k, (one, other) in enumerate(zip(phrases, paraphrases, strict=True))
        if one in wanted or other in wanted
    )
    return b"".join(
        b"%s\n%s\n%s\n" % tuple(lines[start : start + _LINES_PER_ENTRY]) for start in starts
    )
