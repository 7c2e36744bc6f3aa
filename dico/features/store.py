"""Reading a feature store: frozen-tower features, once per image, by memory mapping.

Its files are those of `dico.features.format`. Only numpy is needed. bfloat16 rows are returned
as uint16 bits.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dico.errors import DataError, DigestError
from dico.features.format import (
    HEADER_BYTES,
    INDEX,
    KEY_BYTES,
    Array,
    FeatureSpec,
    Shard,
    key_bytes,
    map_rows,
    read_index,
    read_keys,
    row_digest,
)
from dico.features.writer import FeatureWriter
from dico.process.activity import DATA, activity
from dico.process.limits import num_threads
from dico.storage import sha256_file

if TYPE_CHECKING:
    from dico.features.cache import RemoteRows

__all__ = ["FeatureSpec", "FeatureStore", "FeatureWriter"]


class FeatureStore:
    """Random access to the rows of a store; safe to share between threads and forked workers."""

    def __init__(self, folder: Path, spec: FeatureSpec, shards: list[Shard]) -> None:
        self.folder, self.spec, self._shards = folder, spec, shards
        self.uri = str(folder)
        self.digest = ""
        self._remote: RemoteRows | None = None
        self._maps: dict[tuple[int, str], Array] = {}
        self._files: dict[tuple[int, str], _Descriptor] = {}
        tables = [read_keys(folder, shard) for shard in shards]
        keys = np.concatenate([t[0] for t in tables] or [np.empty((0, KEY_BYTES), np.uint8)])
        self._keys = np.ascontiguousarray(keys).view(f"S{KEY_BYTES}").reshape(-1)
        self._order = np.argsort(self._keys, kind="stable")
        self._sorted = self._keys[self._order]
        self._digests = [t[1] for t in tables]
        self._starts = np.cumsum([0, *(len(t[0]) for t in tables)])

    @staticmethod
    def open(uri: str | Path, verify: bool = True, digest: str = "") -> "FeatureStore":
        """Opens a store for reading; of an s3:// store only what is read is copied here.

        Args:
            uri: folder, or s3:// prefix.
            verify: check the digest of every row that is here now, on all cores.
            digest: digest of the store's index, when it is known from a pointer: the rows are those
                of that state, whatever was added since.

        Raises:
            DataError: no store there, or of another format.
            DigestError: bytes changed since they were written; the row is named.
        """
        remote = str(uri).startswith("s3://")
        folder = _fetched(str(uri), digest) if remote else Path(str(uri).removeprefix("file://"))
        spec, shards = read_index(folder, digest)
        store = FeatureStore(folder, spec, shards)
        store.uri, store.digest = str(uri), digest or sha256_file(folder / INDEX)
        if remote:
            from dico.features.cache import RemoteRows

            keys = np.split(store._key_bytes(), store._starts[1:-1]) if shards else []
            store._remote = RemoteRows(str(uri), folder, spec, shards, keys, store._digests)
        if verify:
            store.verify()
        return store

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled by name: another process opens its own maps and files, the rows known good."""
        return FeatureStore.open, (self.uri, False, self.digest)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._keys)

    def keys(self) -> list[str]:
        """Keys of all rows, in the order in which they were written."""
        return [key.tobytes().hex() for key in self._key_bytes()]

    def __contains__(self, key: str) -> bool:
        """Whether the store has the image."""
        return bool(self._find([key], strict=False)[0] >= 0)

    @activity(DATA)
    def read(self, keys: Sequence[str], name: str) -> Array:
        """Rows of the array ``name``, in the order of ``keys``: (B, ...).

        Raises:
            DataError: an unknown array, or a key that the store does not have.
        """
        if name not in self.spec.arrays:
            raise DataError(
                f"{self.folder}: no array {name!r}; it has {', '.join(self.spec.arrays)}"
            )
        rows = self._find(keys)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        shape, _ = self.spec.arrays[name]
        out = np.empty((len(rows), *shape), self.spec.dtype(name))
        if self.spec.is_large(name):
            self._bring(shards, rows - self._starts[shards])
            self._read_large(out, shards, rows - self._starts[shards], name)
            return out
        for shard in np.unique(shards):
            here = shards == shard
            out[here] = self._map(int(shard), name)[rows[here] - self._starts[shard]]
        return out

    def _bring(self, shards: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> None:
        """Has the rows of a remote store fetched that are not here."""
        if self._remote is not None:
            for shard in np.unique(shards):
                self._remote.bring(int(shard), rows[shards == shard])

    def _key_bytes(self) -> npt.NDArray[np.uint8]:
        """All keys, (N, 32)."""
        return self._keys.view(np.uint8).reshape(-1, KEY_BYTES)

    def _read_large(
        self, out: Array, shards: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], name: str
    ) -> None:
        """Reads rows into ``out`` by position: all are asked for first, then copied."""
        num_bytes = self.spec.row_bytes(name)
        places = [
            (self._file(int(shard), name), HEADER_BYTES + int(row) * num_bytes)
            for shard, row in zip(shards, rows, strict=True)
        ]
        for descriptor, offset in places:
            os.posix_fadvise(descriptor, offset, num_bytes, os.POSIX_FADV_WILLNEED)
        for row_out, (descriptor, offset) in zip(out, places, strict=True):
            if os.preadv(descriptor, [row_out.reshape(-1).view(np.uint8)], offset) != num_bytes:
                raise DigestError(f"{self.folder}: a shard of {name} is too short; extract again")

    def verify(self) -> None:
        """Checks the digest of every row that is here; raises DigestError naming the first bad key.

        In the copy of a remote store a bad row of large arrays is marked to be fetched again.
        """
        tasks = [
            (shard, low, min(low + 256, len(digests)))
            for shard, digests in enumerate(self._digests)
            for low in range(0, len(digests), 256)
        ]
        with ThreadPoolExecutor(max_workers=num_threads()) as pool:
            for _ in pool.map(lambda task: self._verify_rows(*task), tasks):
                pass

    def _verify_rows(self, shard: int, low: int, high: int) -> None:
        names = sorted(self.spec.arrays)
        maps = [self._map(shard, name) for name in names]
        here = None if self._remote is None else self._remote.present(shard)
        for row in range(low, high):
            if here is not None and not here[row]:
                continue
            key = self._key_bytes()[self._starts[shard] + row].tobytes()
            digest = row_digest(key, [array[row] for array in maps])
            if digest != self._digests[shard][row].tobytes():
                if self._remote is not None and any(map(self.spec.is_large, names)):
                    self._remote.forget(shard, row)
                    continue
                raise DigestError(
                    f"{self.folder}: features of image {key.hex()} changed since they were "
                    "written; delete the store and extract them again"
                )

    def _find(self, keys: Sequence[str], strict: bool = True) -> npt.NDArray[np.int64]:
        wanted = np.array([key_bytes(key) for key in keys], dtype=f"S{KEY_BYTES}")
        if not len(self._sorted):
            at = np.zeros(len(wanted), np.int64)
            found = np.zeros(len(wanted), bool)
        else:
            at = np.minimum(np.searchsorted(self._sorted, wanted), len(self._sorted) - 1)
            found = self._sorted[at] == wanted
        if strict and not found.all():
            missing = keys[int(np.argmin(found))]
            raise DataError(f"{self.folder}: no features of image {missing}; extract them first")
        rows = self._order[at] if len(self._sorted) else at
        return np.where(found, rows, -1).astype(np.int64)

    def _file(self, shard: int, name: str) -> int:
        """Descriptor of a shard's file, whose size and header were checked."""
        file = self._files.get((shard, name))
        if file is None:
            self._map(shard, name)
            path = self.folder / self._shards[shard].file(name)
            file = self._files[shard, name] = _Descriptor(path)
        return file.number

    def _map(self, shard: int, name: str) -> Array:
        array = self._maps.get((shard, name))
        if array is None:
            entry = self._shards[shard]
            path = self.folder / entry.file(name)
            array = map_rows(path, name, entry.rows, self.spec)
            self._maps[shard, name] = array
        return array


class _Descriptor:
    """An open file that is closed with its owner."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        os.close(self.number)


def _fetched(uri: str, digest: str) -> Path:
    """The folder of a remote store's local copy, with its index and keys."""
    from dico.features.cache import fetch_index

    return fetch_index(uri, digest)
