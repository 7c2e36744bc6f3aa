"""Cache of facts of images, keyed by location and modification.

A file that was not touched is not opened again: a killed validation resumes where it was, and the
next one looks only at new images. The cache is one SQLite file that may be deleted at any time.
"""

import json
import os
import sqlite3
import threading
from pathlib import Path

from dico.errors import DicoError
from dico.images.embedded import container_of
from dico.images.inspection import ImageFacts
from dico.images.sandbox import Limits
from dico.storage import open_store, split_uri

_BATCH = 500
_VERSION = 3


class FactsCache:
    """A table of facts by URI and stamp; read by many threads, written by one."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path, self.limits = path, limits
        self._lock = threading.Lock()
        self._pending: list[tuple[bytes, str, str, bytes]] = []

    def __enter__(self) -> "FactsCache":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._database = self._open()
        return self

    def __exit__(self, *_: object) -> None:
        self._write()
        self._database.close()

    def stamp(self, uri: str) -> str:
        """What changes whenever the image may have changed; empty when it cannot be told."""
        path, member = container_of(uri)
        store, key = split_uri(path)
        try:
            etag = open_store(store).etag(key) if key else ""
        except (DicoError, ValueError):
            return ""
        limits = f"{self.limits.max_pixels}/{self.limits.max_bytes}/v{_VERSION}"
        return f"{etag}/{member}/{limits}" if etag else ""

    def get(self, uri: str, stamp: str) -> ImageFacts | None:
        """The facts, when this very file was looked at before."""
        if not stamp:
            return None
        query = "SELECT facts, thumb FROM images WHERE uri = ? AND stamp = ?"
        with self._lock:
            row = self._database.execute(query, (os.fsencode(uri), stamp)).fetchone()
        if row is None:
            return None
        facts = json.loads(row[0])
        return ImageFacts(**{**facts, "flags": tuple(facts["flags"]), "thumbnail": row[1]})

    def put(self, uri: str, stamp: str, facts: ImageFacts) -> None:
        """Keeps facts; a deadline that passed is not kept, it may have been the machine's fault."""
        if facts.code == "image_timeout":
            return
        kept = {
            "code": facts.code,
            "detail": facts.detail,
            "sha256": facts.sha256,
            "num_bytes": facts.num_bytes,
            "width_px": facts.width_px,
            "height_px": facts.height_px,
            "flags": facts.flags,
        }
        self._pending.append((os.fsencode(uri), stamp, json.dumps(kept), facts.thumbnail))
        if len(self._pending) >= _BATCH:
            self._write()

    def _write(self) -> None:
        with self._lock:
            insert = "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?)"
            self._database.executemany(insert, self._pending)
            self._database.commit()
        self._pending.clear()

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.DatabaseError:
            self.path.unlink(missing_ok=True)
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, check_same_thread=False)
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute(
            "CREATE TABLE IF NOT EXISTS images "
            "(uri BLOB PRIMARY KEY, stamp TEXT, facts TEXT, thumb BLOB)"
        )
        return database
