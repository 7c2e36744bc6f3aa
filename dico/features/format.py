"""The files of a feature store: what a row is, a shard's files, and the index that names them.

A store is a folder of shards. A shard holds, for up to a few GB of rows, one safetensors file per
array with all rows in one tensor, so that row ``i`` lies at a known offset, and one file of keys and
row digests. ``index.json`` names the shards; each state of it is also kept as
``index-DIGEST.json``, so that a pointer with a digest finds the rows that it was written for, also
when more were added since.

A row's digest covers its key and its bytes: a flipped bit, rows out of order and a key of another
image are all found before use. bfloat16 rows are kept as uint16 bits.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dico.errors import DataError, DigestError
from dico.storage import sha256_file

FORMAT = 1
INDEX = "index.json"
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

    def dtype(self, name: str) -> "np.dtype[Any]":
        """The type in which numpy holds an array's values."""
        return _DTYPES[self.arrays[name][1]][1]

    def row_bytes(self, name: str) -> int:
        """Bytes of one row of an array."""
        return int(np.prod(self.arrays[name][0])) * self.dtype(name).itemsize

    def is_large(self, name: str) -> bool:
        """Whether a row is read by itself, instead of by mapping its file."""
        return self.row_bytes(name) >= LARGE_ROW_BYTES

    def num_bytes(self, num_rows: int) -> int:
        """Size of a store of ``num_rows`` images, in bytes."""
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


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard, as the index names it."""

    name: str
    """Begins the names of its files."""
    rows: int
    """Number of its rows."""
    keys_sha256: str
    """Digest of its file of keys and row digests."""
    files_sha256: Mapping[str, str] = field(default_factory=dict)
    """Array to the digest of its whole file, for arrays of small rows."""

    def file(self, array: str) -> str:
        """Name of the file of an array, or of ``keys``."""
        return f"{self.name}.{array}.safetensors"

    def to_json(self) -> dict[str, Any]:
        """The shard as plain JSON values."""
        plain = {"name": self.name, "rows": self.rows, "keys_sha256": self.keys_sha256}
        return {**plain, "files_sha256": dict(self.files_sha256)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Shard":
        """The inverse of `to_json`."""
        files = {str(k): str(v) for k, v in data.get("files_sha256", {}).items()}
        return Shard(str(data["name"]), int(data["rows"]), str(data["keys_sha256"]), files)


def index_bytes(spec: FeatureSpec, shards: Sequence[Shard]) -> bytes:
    """The bytes of ``index.json``."""
    content = {"format": FORMAT, **spec.to_json(), "shards": [one.to_json() for one in shards]}
    return json.dumps(content, indent=1, sort_keys=True).encode()


def index_name(digest: str) -> str:
    """Name of the copy of the index that has ``digest``; of the newest one without."""
    return f"index-{digest[:16]}.json" if digest else INDEX


def read_index(folder: Path, digest: str = "") -> tuple[FeatureSpec, list[Shard]]:
    """The newest state of a store, or the one that has ``digest``.

    Raises:
        DataError: no store, or of another format.
        DigestError: not the state asked for, or damaged.
    """
    path = folder / index_name(digest)
    if not path.is_file():
        path = folder / INDEX
    if not path.is_file():
        raise DataError(f"{folder}: no feature store there; extract features first")
    if digest and sha256_file(path) != digest:
        raise DigestError(f"{path}: not the features expected here; extract them again")
    return parse_index(path.read_bytes(), str(path))


def parse_index(data: bytes, where: str) -> tuple[FeatureSpec, list[Shard]]:
    """Reads the bytes of an index; ``where`` names it in errors."""
    try:
        content = json.loads(data)
        found = content["format"]
        shards = [Shard.from_json(one) for one in content["shards"]]
        spec = FeatureSpec.from_json(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DigestError(f"{where}: damaged ({type(error).__name__}); extract again") from None
    if found != FORMAT:
        raise DataError(f"{where}: format {found!r}, and this version reads {FORMAT}")
    return spec, shards


def read_keys(folder: Path, shard: Shard) -> tuple[Array, Array]:
    """Keys (N, 32) and row digests (N, 16) of a shard, as bytes."""
    path = folder / shard.file("keys")
    if not path.is_file() or sha256_file(path) != shard.keys_sha256:
        raise DigestError(f"{path}: missing or changed since it was written; extract again")
    table = np.frombuffer(path.read_bytes()[HEADER_BYTES:], np.uint8)
    table = table.reshape(shard.rows, KEY_BYTES + DIGEST_BYTES)
    return table[:, :KEY_BYTES], table[:, KEY_BYTES:]


def keys_header(num_rows: int) -> bytes:
    """Header of a shard's file of keys."""
    return _header("keys", "U8", 1, (num_rows, KEY_BYTES + DIGEST_BYTES))


def rows_header(spec: FeatureSpec, name: str, num_rows: int) -> bytes:
    """Header of a shard's file of an array."""
    shape, dtype = spec.arrays[name]
    return _header(name, _DTYPES[dtype][0], spec.dtype(name).itemsize, (num_rows, *shape))


def _header(name: str, dtype: str, item_bytes: int, shape: tuple[int, ...]) -> bytes:
    """A safetensors header of fixed length, so that rows may be appended before it is known."""
    size = item_bytes * int(np.prod(shape))
    entry = {"dtype": dtype, "shape": list(shape), "data_offsets": [0, size]}
    text = json.dumps({name: entry}).encode().ljust(HEADER_BYTES - 8)
    return (HEADER_BYTES - 8).to_bytes(8, "little") + text


def map_rows(path: Path, name: str, num_rows: int, spec: FeatureSpec) -> Array:
    """All rows of a shard's file as a read-only map, its size and header checked."""
    num_bytes = HEADER_BYTES + num_rows * spec.row_bytes(name)
    if not path.is_file() or path.stat().st_size != num_bytes:
        raise DigestError(
            f"{path}: missing or not of {num_bytes} bytes; extract the features again"
        )
    with open(path, "rb") as file:
        if file.read(HEADER_BYTES) != rows_header(spec, name, num_rows):
            raise DigestError(
                f"{path}: its header is not that of {name}; extract the features again"
            )
    shape = (num_rows, *spec.arrays[name][0])
    return np.memmap(path, spec.dtype(name), "r", HEADER_BYTES, shape)


def row_digest(key: bytes, rows: Sequence[Array]) -> bytes:
    """16 bytes over a key and its arrays, in the order of the arrays' names."""
    digest = hashlib.blake2b(key, digest_size=DIGEST_BYTES)
    for row in rows:
        digest.update(np.ascontiguousarray(row).data)
    return digest.digest()


def key_bytes(key: str) -> bytes:
    """A key's 32 bytes."""
    try:
        binary = bytes.fromhex(key)
    except (ValueError, TypeError):
        binary = b""
    if len(binary) != KEY_BYTES:
        raise DataError(f"{key!r}: not a feature key; keys are the SHA-256 of an image's file")
    return binary
