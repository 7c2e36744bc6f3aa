"""Adds rows to a feature store: whole shards at once, so that a killed writer loses the open one."""

import hashlib
import os
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from dico.errors import DataError
from dico.features.format import (
    HEADER_BYTES,
    INDEX,
    Array,
    FeatureSpec,
    Shard,
    index_bytes,
    index_name,
    key_bytes,
    keys_header,
    read_index,
    read_keys,
    row_digest,
    rows_header,
)
from dico.storage import atomic_write, open_store, require_space, sha256_file
from dico.storage.files import storage_errors

SHARD_BYTES = 2_000_000_000


class FeatureWriter:
    """Adds rows to a store; a context manager whose end publishes what was added."""

    def __init__(self, uri: str, folder: Path, spec: FeatureSpec, shards: list[Shard]):
        self.uri, self.folder, self.spec, self._shards = uri, folder, spec, shards
        self._have = {bytes(key) for shard in shards for key in read_keys(folder, shard)[0]}
        widest = max(map(spec.row_bytes, spec.arrays))
        self.rows_per_shard = max(1, SHARD_BYTES // widest)
        self._open: _OpenShard | None = None
        self._lock = threading.Lock()

    @staticmethod
    def open(uri: str | Path, spec: FeatureSpec) -> "FeatureWriter":
        """Opens a store for adding rows, or begins an empty one.

        Raises:
            DataError: the store there was made by another tower or has other arrays.
        """
        folder = _local_folder(str(uri))
        shards: list[Shard] = []
        if (folder / INDEX).exists():
            found, shards = read_index(folder)
            if found.to_json() != spec.to_json():
                raise DataError(
                    f"{uri}: holds features of another tower or shape ({found.tower_digest[:12]}, "
                    f"not {spec.tower_digest[:12]}); choose another folder or delete it"
                )
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return FeatureWriter(str(uri), folder, spec, shards)

    def missing(self, keys: Sequence[str]) -> list[str]:
        """The keys, each once and in their order, whose rows are still to be added."""
        return [key for key in dict.fromkeys(keys) if key_bytes(key) not in self._have]

    def require_space(self, num_rows: int) -> None:
        """Refuses to start when the disk has no room for ``num_rows`` more rows."""
        require_space(self.folder, int(self.spec.num_bytes(num_rows) * 1.02))

    def add(self, key: str, **arrays: Array) -> None:
        """Adds the arrays of one image; nothing happens when the store has it.

        Args:
            key: SHA-256 of the image's file.
            arrays: each array of the spec, of its shape and dtype.

        Raises:
            DataError: an array is missing, of another shape or dtype, not finite, or all zero.
            StorageError: no space, or an I/O error.
        """
        binary = key_bytes(key)
        rows = [_checked(self.spec, key, name, arrays) for name in sorted(self.spec.arrays)]
        if unknown := set(arrays) - set(self.spec.arrays):
            raise DataError(f"features of {key}: unknown array {', '.join(sorted(unknown))}")
        with self._lock, storage_errors(self.folder):
            if binary in self._have:
                return
            if self._open is None:
                self._open = _OpenShard(self.folder, self.spec)
            self._open.add(binary, rows)
            self._have.add(binary)
            if len(self._open.keys) >= self.rows_per_shard:
                self._publish()

    def close(self) -> str:
        """Publishes the open shard; returns the digest of the store's index."""
        with self._lock, storage_errors(self.folder):
            self._publish()
            if not (self.folder / INDEX).exists():
                self._write_index()
            return sha256_file(self.folder / INDEX)

    def __enter__(self) -> "FeatureWriter":
        """Begins the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Publishes also after an error: what was added is whole."""
        self.close()

    def _publish(self) -> None:
        if self._open is None:
            return
        whole, self._open = self._open, None
        try:
            shard = whole.finish()
        except OSError:
            whole.drop()
            raise
        if self.uri.startswith("s3://"):
            from dico.features.cache import mark_whole

            store = open_store(self.uri)
            for name in ("keys", *self.spec.arrays):
                store.upload(self.folder / shard.file(name), shard.file(name))
            mark_whole(self.folder, shard)
        self._shards.append(shard)
        self._write_index()

    def _write_index(self) -> None:
        data = index_bytes(self.spec, self._shards)
        for name in (index_name(hashlib.sha256(data).hexdigest()), INDEX):
            with atomic_write(self.folder / name) as temporary:
                temporary.write_bytes(data)
            if self.uri.startswith("s3://"):
                open_store(self.uri).write_bytes(name, data)


class _OpenShard:
    """The files of a shard that is being written."""

    def __init__(self, folder: Path, spec: FeatureSpec) -> None:
        self.folder, self.spec = folder, spec
        self.name = f"shard-{uuid.uuid4().hex[:16]}"
        self.keys: list[bytes] = []
        self.digests: list[bytes] = []
        self._files: dict[str, IO[bytes]] = {}
        for name in sorted(spec.arrays):
            self._files[name] = open(self._temporary(name), "wb")  # noqa: SIM115
            self._files[name].write(b" " * HEADER_BYTES)

    def add(self, key: bytes, rows: list[Array]) -> None:
        for file, row in zip(self._files.values(), rows, strict=True):
            file.write(row.data if row.ndim else row.tobytes())
        self.keys.append(key)
        self.digests.append(row_digest(key, rows))

    def finish(self) -> Shard:
        """Writes headers and keys, flushes, renames; returns the shard's entry of the index."""
        small = {}
        for name, file in self._files.items():
            file.seek(0)
            file.write(rows_header(self.spec, name, len(self.keys)))
            file.flush()
            os.fsync(file.fileno())
            file.close()
            os.replace(self._temporary(name), self._path(name))
            if not self.spec.is_large(name):
                small[name] = sha256_file(self._path(name))
        table = b"".join(k + d for k, d in zip(self.keys, self.digests, strict=True))
        with atomic_write(self._path("keys")) as temporary:
            temporary.write_bytes(keys_header(len(self.keys)) + table)
        return Shard(self.name, len(self.keys), sha256_file(self._path("keys")), small)

    def drop(self) -> None:
        """Closes and removes what was written; the disk is perhaps full."""
        for name, file in self._files.items():
            try:
                file.close()
            except OSError:
                continue
            finally:
                self._temporary(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{self.name}.{name}.safetensors"

    def _temporary(self, name: str) -> Path:
        return self.folder / f".{self.name}.{name}.tmp"


def _checked(spec: FeatureSpec, key: str, name: str, arrays: Mapping[str, Array]) -> Array:
    """The array ``name`` of one image, of the right kind, finite and not zero."""
    shape, dtype = spec.arrays[name]
    where = f"features of {key}: {name}"
    if name not in arrays:
        raise DataError(f"{where} is missing")
    array = np.asarray(arrays[name])
    if array.dtype != spec.dtype(name):
        raise DataError(f"{where} is {array.dtype}, and the store holds {dtype}")
    if array.shape != tuple(shape):
        raise DataError(f"{where} has shape {array.shape}, and the store holds {tuple(shape)}")
    values = array
    if dtype == "bfloat16":
        values = (array.astype(np.uint32) << 16).view(np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{where} has values that are not finite")
    if not values.any():
        raise DataError(f"{where} is all zero")
    return np.ascontiguousarray(array)


def _local_folder(uri: str) -> Path:
    """The folder of a local store, or the local copy of a remote one's index and keys."""
    if not uri.startswith("s3://"):
        return Path(uri.removeprefix("file://"))
    from dico.features.cache import fetch_index

    return fetch_index(uri)
