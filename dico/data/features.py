"""The feature store: frozen-tower features, once per picture, read by memory mapping.

A store is a folder of shards. A shard holds, for up to a few GB of rows, one safetensors file per
array with all rows in one tensor, so that row ``i`` lies at a known offset, and one file of keys and
row digests. ``index.json`` names the shards and the digest of each key file; it is replaced at once
when a shard is complete, so a killed writer loses at most the open shard.

A row's digest covers its key and its bytes: a flipped bit, rows out of order and a key of another
picture are all found before use. Only numpy is needed. bfloat16 rows are returned as uint16 bits.
"""

import hashlib
import json
import os
import threading
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from dico.errors import DataError, DigestError
from dico.storage import atomic_write, open_store, require_space, sha256_file

FORMAT = 1
INDEX = "index.json"
SHARD_BYTES = 2_000_000_000
KEY_BYTES = 32
DIGEST_BYTES = 16
HEADER_BYTES = 512
LARGE_ROW_BYTES = 65_536
_DTYPES: dict[str, tuple[str, "np.dtype[Any]"]] = {
    "float16": ("F16", np.dtype("<f2")),
    "float32": ("F32", np.dtype("<f4")),
    "bfloat16": ("BF16", np.dtype("<u2")),
}
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class FeatureSpec:
    """What each row of a store is."""

    tower_digest: str
    """Digest of the weights and the preprocessing that made the features."""
    arrays: Mapping[str, tuple[tuple[int, ...], str]]
    """Name of each array to the (shape, dtype) of one row; float16, float32 or bfloat16."""

    def __post_init__(self) -> None:
        """Checks shapes and dtypes."""
        for name, (shape, dtype) in self.arrays.items():
            if dtype not in _DTYPES or not shape or min(shape) < 1:
                raise DataError(
                    f"features {name}: {shape} {dtype}; dtypes are {', '.join(_DTYPES)}"
                )

    def row_bytes(self, name: str) -> int:
        """Bytes of one row of an array."""
        shape, dtype = self.arrays[name]
        return int(np.prod(shape)) * _DTYPES[dtype][1].itemsize

    def num_bytes(self, num_rows: int) -> int:
        """Size of a store of ``num_rows`` pictures, in bytes."""
        return num_rows * (sum(map(self.row_bytes, self.arrays)) + KEY_BYTES + DIGEST_BYTES)

    def to_json(self) -> dict[str, Any]:
        """The spec as plain JSON values."""
        arrays = {k: {"shape": list(s), "dtype": d} for k, (s, d) in sorted(self.arrays.items())}
        return {"tower_digest": self.tower_digest, "arrays": arrays}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "FeatureSpec":
        """The inverse of `to_json`."""
        arrays = {k: (tuple(v["shape"]), v["dtype"]) for k, v in data["arrays"].items()}
        return FeatureSpec(data["tower_digest"], arrays)


class FeatureStore:
    """Random access to the rows of a store; safe to share between threads and forked workers."""

    def __init__(self, folder: Path, spec: FeatureSpec, shards: list[dict[str, Any]]) -> None:
        self.folder, self.spec, self._shards = folder, spec, shards
        self._maps: dict[tuple[int, str], Array] = {}
        self._files: dict[tuple[int, str], _Descriptor] = {}
        tables = [_read_keys(folder, shard) for shard in shards]
        keys = np.concatenate([t[0] for t in tables] or [np.empty((0, KEY_BYTES), np.uint8)])
        self._keys = np.ascontiguousarray(keys).view(f"S{KEY_BYTES}").reshape(-1)
        self._order = np.argsort(self._keys, kind="stable")
        self._sorted = self._keys[self._order]
        self._digests = [t[1] for t in tables]
        self._starts = np.cumsum([0, *(len(t[0]) for t in tables)])

    @staticmethod
    def open(uri: str | Path, verify: bool = True, digest: str = "") -> "FeatureStore":
        """Opens a store for reading; an s3:// store is copied to the local cache first.

        Args:
            uri: folder, or s3:// prefix.
            verify: check every row's digest now, on all cores.
            digest: digest of the store's index, when it is known from a pointer.

        Raises:
            DataError: no store there, or of another format.
            DigestError: bytes changed since they were written; the row is named.
        """
        folder = _local_folder(str(uri))
        spec, shards = _read_index(folder, digest)
        store = FeatureStore(folder, spec, shards)
        if verify:
            store.verify()
        return store

    @property
    def digest(self) -> str:
        """Digest of the index, and so of all that the store holds."""
        return sha256_file(self.folder / INDEX)

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self._keys)

    def keys(self) -> list[str]:
        """Keys of all rows, in the order in which they were written."""
        return [_hex(key) for key in self._keys]

    def __contains__(self, key: str) -> bool:
        """Whether the store has the picture."""
        return bool(self._find([key], strict=False)[0] >= 0)

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
        shape, dtype = self.spec.arrays[name]
        out = np.empty((len(rows), *shape), _DTYPES[dtype][1])
        if self.spec.row_bytes(name) >= LARGE_ROW_BYTES:
            self._read_large(out, shards, rows - self._starts[shards], name)
            return out
        for shard in np.unique(shards):
            here = shards == shard
            out[here] = self._map(int(shard), name)[rows[here] - self._starts[shard]]
        return out

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
        """Checks every row's digest; raises DigestError naming the first bad key."""
        tasks = [
            (shard, low, min(low + 256, len(digests)))
            for shard, digests in enumerate(self._digests)
            for low in range(0, len(digests), 256)
        ]
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            for _ in pool.map(lambda task: self._verify_rows(*task), tasks):
                pass

    def _verify_rows(self, shard: int, low: int, high: int) -> None:
        names = sorted(self.spec.arrays)
        maps = [self._map(shard, name) for name in names]
        for row in range(low, high):
            key = bytes(self._keys[self._starts[shard] + row].ljust(KEY_BYTES, b"\0"))
            digest = _row_digest(key, [array[row] for array in maps])
            if digest != self._digests[shard][row].tobytes():
                raise DigestError(
                    f"{self.folder}: features of picture {key.hex()} changed since they were "
                    "written; delete the store and extract them again"
                )

    def _find(self, keys: Sequence[str], strict: bool = True) -> npt.NDArray[np.int64]:
        wanted = np.array([_key(key) for key in keys], dtype=f"S{KEY_BYTES}")
        if not len(self._sorted):
            at = np.zeros(len(wanted), np.int64)
            found = np.zeros(len(wanted), bool)
        else:
            at = np.minimum(np.searchsorted(self._sorted, wanted), len(self._sorted) - 1)
            found = self._sorted[at] == wanted
        if strict and not found.all():
            missing = keys[int(np.argmin(found))]
            raise DataError(f"{self.folder}: no features of picture {missing}; extract them first")
        rows = self._order[at] if len(self._sorted) else at
        return np.where(found, rows, -1).astype(np.int64)

    def _file(self, shard: int, name: str) -> int:
        """Descriptor of a shard's file, whose size and header were checked."""
        file = self._files.get((shard, name))
        if file is None:
            self._map(shard, name)
            path = self.folder / f"{self._shards[shard]['name']}.{name}.safetensors"
            file = self._files[shard, name] = _Descriptor(path)
        return file.number

    def _map(self, shard: int, name: str) -> Array:
        array = self._maps.get((shard, name))
        if array is None:
            entry = self._shards[shard]
            path = self.folder / f"{entry['name']}.{name}.safetensors"
            array = _map_rows(path, name, entry["rows"], self.spec)
            self._maps[shard, name] = array
        return array


class _Descriptor:
    """An open file that is closed with its owner."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        os.close(self.number)


class FeatureWriter:
    """Adds rows to a store; a context manager whose end publishes what was added."""

    def __init__(self, uri: str, folder: Path, spec: FeatureSpec, shards: list[dict[str, Any]]):
        self.uri, self.folder, self.spec, self._shards = uri, folder, spec, shards
        self._have = {bytes(key) for shard in shards for key in _read_keys(folder, shard)[0]}
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
        shards: list[dict[str, Any]] = []
        if (folder / INDEX).exists():
            found, shards = _read_index(folder)
            if found.to_json() != spec.to_json():
                raise DataError(
                    f"{uri}: holds features of another tower or shape ({found.tower_digest[:12]}, "
                    f"not {spec.tower_digest[:12]}); choose another folder or delete it"
                )
        folder.mkdir(parents=True, exist_ok=True)
        return FeatureWriter(str(uri), folder, spec, shards)

    def missing(self, keys: Sequence[str]) -> list[str]:
        """The keys, each once and in their order, whose rows are still to be added."""
        return [key for key in dict.fromkeys(keys) if _key(key) not in self._have]

    def require_space(self, num_rows: int) -> None:
        """Refuses to start when the disk has no room for ``num_rows`` more rows."""
        require_space(self.folder, int(self.spec.num_bytes(num_rows) * 1.02))

    def add(self, key: str, **arrays: Array) -> None:
        """Adds the arrays of one picture; nothing happens when the store has it.

        Args:
            key: SHA-256 of the picture's file.
            arrays: each array of the spec, of its shape and dtype.

        Raises:
            DataError: an array is missing, of another shape or dtype, not finite, or all zero.
        """
        binary = _key(key)
        rows = [self._checked(key, name, arrays) for name in sorted(self.spec.arrays)]
        if unknown := set(arrays) - set(self.spec.arrays):
            raise DataError(f"features of {key}: unknown array {', '.join(sorted(unknown))}")
        with self._lock:
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
        with self._lock:
            self._publish()
            if not (self.folder / INDEX).exists():
                self._write_index()
        return sha256_file(self.folder / INDEX)

    def __enter__(self) -> "FeatureWriter":
        """Begins the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Publishes also after an error: what was added is whole."""
        self.close()

    def _checked(self, key: str, name: str, arrays: Mapping[str, Array]) -> Array:
        shape, dtype = self.spec.arrays[name]
        where = f"features of {key}: {name}"
        if name not in arrays:
            raise DataError(f"{where} is missing")
        array = np.asarray(arrays[name])
        if array.dtype != _DTYPES[dtype][1]:
            raise DataError(f"{where} is {array.dtype}, and the store holds {dtype}")
        if array.shape != tuple(shape):
            raise DataError(f"{where} has shape {array.shape}, and the store holds {tuple(shape)}")
        values = _as_float(array, dtype)
        if not np.isfinite(values).all():
            raise DataError(f"{where} has values that are not finite")
        if not values.any():
            raise DataError(f"{where} is all zero")
        return np.ascontiguousarray(array)

    def _publish(self) -> None:
        if self._open is None:
            return
        entry = self._open.finish()
        self._open = None
        self._shards.append(entry)
        if self.uri.startswith("s3://"):
            store = open_store(self.uri)
            for name in ("keys", *self.spec.arrays):
                file = f"{entry['name']}.{name}.safetensors"
                store.upload(self.folder / file, file)
        self._write_index()

    def _write_index(self) -> None:
        content = {"format": FORMAT, **self.spec.to_json(), "shards": self._shards}
        data = json.dumps(content, indent=1, sort_keys=True).encode()
        with atomic_write(self.folder / INDEX) as temporary:
            temporary.write_bytes(data)
        if self.uri.startswith("s3://"):
            open_store(self.uri).write_bytes(INDEX, data)


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
        self.digests.append(_row_digest(key, rows))

    def finish(self) -> dict[str, Any]:
        """Writes headers and keys, flushes, renames; returns the shard's entry of the index."""
        for name, file in self._files.items():
            shape, dtype = self.spec.arrays[name]
            file.seek(0)
            file.write(_header(name, _DTYPES[dtype][0], (len(self.keys), *shape)))
            file.flush()
            os.fsync(file.fileno())
            file.close()
            os.replace(self._temporary(name), self._path(name))
        table = np.frombuffer(
            b"".join(k + d for k, d in zip(self.keys, self.digests, strict=True)), np.uint8
        )
        with atomic_write(self._path("keys")) as temporary:
            shape_of_keys = (len(self.keys), KEY_BYTES + DIGEST_BYTES)
            temporary.write_bytes(_header("keys", "U8", shape_of_keys) + table.tobytes())
        digest = sha256_file(self._path("keys"))
        return {"name": self.name, "rows": len(self.keys), "keys_sha256": digest}

    def _path(self, name: str) -> Path:
        return self.folder / f"{self.name}.{name}.safetensors"

    def _temporary(self, name: str) -> Path:
        return self.folder / f".{self.name}.{name}.tmp"


def _header(name: str, dtype: str, shape: tuple[int, ...]) -> bytes:
    """A safetensors header of fixed length, so that rows may be appended before it is known."""
    size = {"F16": 2, "F32": 4, "BF16": 2, "U8": 1}[dtype] * int(np.prod(shape))
    entry = {"dtype": dtype, "shape": list(shape), "data_offsets": [0, size]}
    text = json.dumps({name: entry}).encode().ljust(HEADER_BYTES - 8)
    return (HEADER_BYTES - 8).to_bytes(8, "little") + text


def _row_digest(key: bytes, rows: Sequence[Array]) -> bytes:
    digest = hashlib.blake2b(key, digest_size=DIGEST_BYTES)
    for row in rows:
        digest.update(np.ascontiguousarray(row).data)
    return digest.digest()


def _map_rows(path: Path, name: str, num_rows: int, spec: FeatureSpec) -> Array:
    shape, dtype = spec.arrays[name]
    expected = _header(name, _DTYPES[dtype][0], (num_rows, *shape))
    num_bytes = HEADER_BYTES + num_rows * spec.row_bytes(name)
    if not path.is_file() or path.stat().st_size != num_bytes:
        raise DigestError(
            f"{path}: missing or not of {num_bytes} bytes; extract the features again"
        )
    with open(path, "rb") as file:
        if file.read(HEADER_BYTES) != expected:
            raise DigestError(
                f"{path}: its header is not that of {name}; extract the features again"
            )
    return np.memmap(path, _DTYPES[dtype][1], "r", HEADER_BYTES, (num_rows, *shape))


def _read_keys(folder: Path, shard: Mapping[str, Any]) -> tuple[Array, Array]:
    path = folder / f"{shard['name']}.keys.safetensors"
    if not path.is_file() or sha256_file(path) != shard["keys_sha256"]:
        raise DigestError(f"{path}: missing or changed since it was written; extract again")
    table = np.frombuffer(path.read_bytes()[HEADER_BYTES:], np.uint8)
    table = table.reshape(shard["rows"], KEY_BYTES + DIGEST_BYTES)
    return table[:, :KEY_BYTES], table[:, KEY_BYTES:]


def _read_index(folder: Path, digest: str = "") -> tuple[FeatureSpec, list[dict[str, Any]]]:
    path = folder / INDEX
    if not path.is_file():
        raise DataError(f"{folder}: no feature store there; extract features first")
    if digest and sha256_file(path) != digest:
        raise DigestError(f"{path}: not the features expected here; extract them again")
    try:
        content = json.loads(path.read_bytes())
        found = content["format"]
        shards = [
            {"name": str(s["name"]), "rows": int(s["rows"]), "keys_sha256": str(s["keys_sha256"])}
            for s in content["shards"]
        ]
        spec = FeatureSpec.from_json(content)
    except (ValueError, KeyError, TypeError) as error:
        raise DigestError(f"{path}: damaged ({type(error).__name__}); extract again") from None
    if found != FORMAT:
        raise DataError(f"{path}: format {found!r}, and this version reads {FORMAT}")
    return spec, shards


def _local_folder(uri: str) -> Path:
    """The folder of a local store, or the cache of a remote one with what is missing fetched."""
    if not uri.startswith("s3://"):
        return Path(uri.removeprefix("file://"))
    from dico.data.feature_cache import fetch_store

    return fetch_store(uri)


def _as_float(array: Array, dtype: str) -> Array:
    if dtype != "bfloat16":
        return array
    bits: Array = array.astype(np.uint32) << 16
    return bits.view(np.float32)


def _key(key: str) -> bytes:
    try:
        binary = bytes.fromhex(key)
    except (ValueError, TypeError):
        binary = b""
    if len(binary) != KEY_BYTES:
        raise DataError(f"{key!r}: not a feature key; keys are the SHA-256 of a picture's file")
    return binary


def _hex(key: bytes) -> str:
    return bytes(key).ljust(KEY_BYTES, b"\0").hex()
