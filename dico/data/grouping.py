"""Joins captions to their images on disk, so that ten million rows need no memory."""

import itertools
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dico.storage.files import storage_errors

_BATCH = 5_000


@dataclass(slots=True)
class Joined:
    """All that was said about one key."""

    key: str
    """The key."""
    images: list[dict[str, Any]] = field(default_factory=list)
    """Rows that describe the image; more than one when the dataset repeats it."""
    captions: list[Any] = field(default_factory=list)
    """Captions in their order."""
    findings: list[tuple[str, str]] = field(default_factory=list)
    """What readers found wrong in these rows."""


class Grouping:
    """A temporary table of images and captions, gone with its block."""

    def __enter__(self) -> "Grouping":
        handle, self._path = tempfile.mkstemp(prefix="dico-", suffix=".sqlite")
        os.close(handle)
        self._database = sqlite3.connect(self._path, isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-65536;"
            "CREATE TABLE rows (key TEXT, sequence INTEGER, content TEXT); BEGIN"
        )
        self._pending: list[tuple[str, int, str]] = []
        self._sequence = 0
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()
        os.unlink(self._path)

    def add_image(self, key: str, image: dict[str, Any], findings: list[tuple[str, str]]) -> None:
        """Adds a row that describes the image of ``key``."""
        self._add(key, ["image", image, findings])

    def add_caption(self, key: str, caption: Any, findings: list[tuple[str, str]]) -> None:
        """Adds one caption to the image of ``key``."""
        self._add(key, ["caption", caption, findings])

    def joined(self) -> Iterator[Joined]:
        """Yields each key with all that was added to it, in the order in which keys appeared."""
        self._write()
        with storage_errors(self._path):
            self._database.execute("CREATE INDEX by_key ON rows (key, sequence)")
            query = (
                "SELECT rows.key, content FROM rows JOIN "
                "(SELECT key AS k, min(sequence) AS f FROM rows GROUP BY key) ON k = key "
                "ORDER BY f, sequence"
            )
            rows = self._database.execute(query)
            for key, group in itertools.groupby(rows, key=lambda row: row[0]):
                yield _join(json.loads(key), [json.loads(content) for _, content in group])

    def _add(self, key: str, content: list[Any]) -> None:
        self._sequence += 1
        self._pending.append((json.dumps(key), self._sequence, json.dumps(content)))
        if len(self._pending) >= _BATCH:
            self._write()

    def _write(self) -> None:
        with storage_errors(self._path):
            self._database.executemany("INSERT INTO rows VALUES (?, ?, ?)", self._pending)
        self._pending.clear()


def _join(key: str, contents: list[list[Any]]) -> Joined:
    joined = Joined(key)
    for kind, content, findings in contents:
        (joined.images if kind == "image" else joined.captions).append(content)
        joined.findings += [(code, detail) for code, detail in findings]
    return joined
