"""The local copy of a feature store that lies in an object store: only what was asked for.

Index, keys and arrays of small rows are copied whole. Of an array of large rows the file here has
its full length and holes: a row is fetched by its range when it is first read, checked by its
digest, and marked in ``SHARD.present``. Several processes may share a copy: they write the same
bytes to the same places.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dico.errors import DigestError
from dico.features.format import (
    HEADER_BYTES,
    INDEX,
    Array,
    FeatureSpec,
    Shard,
    index_name,
    map_rows,
    parse_index,
    row_digest,
    rows_header,
)
from dico.storage import Store, atomic_write, open_store, sha256_file
from dico.storage.files import beside, storage_errors

NUM_THREADS = 16
RANGE_BYTES = 8 << 20
NUM_FETCHES = 4
Rows = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


def cache_folder() -> Path:
    """Folder for copies of remote data: ``$DICO_CACHE``, else ``~/.cache/dico``."""
    return Path(os.environ.get("DICO_CACHE") or Path.home() / ".cache" / "dico")


def fetch_index(uri: str, digest: str = "") -> Path:
    """Brings a store's index and keys; returns the local folder.

    Args:
        uri: s3:// prefix of the store.
        digest: digest of the index where a pointer names it: an index that is not the one is
            fetched again, and refused in the end.
    """
    store = open_store(uri)
    name = hashlib.sha256(uri.rstrip("/").encode()).hexdigest()[:16]
    folder = cache_folder() / "features" / name
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    index = index_name(digest)
    if digest and not store.exists(index):
        index = INDEX
    if not store.exists(index):
        (folder / INDEX).unlink(missing_ok=True)
        return folder
    data = store.read_bytes(index, digest)
    _, shards = parse_index(data, f"{uri}/{index}")
    for shard in shards:
        _bring_file(store, folder, shard.file("keys"), shard.keys_sha256)
    with atomic_write(folder / index) as temporary:
        temporary.write_bytes(data)
    return folder


def _bring_file(store: Store, folder: Path, name: str, digest: str) -> None:
    """Copies a file unless it is here; a damaged copy is fetched again."""
    path = folder / name
    if not path.is_file() or (digest and sha256_file(path) != digest):
        store.fetch(name, path, digest)


def mark_whole(folder: Path, shard: Shard) -> None:
    """Notes that all rows of a shard are here."""
    with atomic_write(folder / f"{shard.name}.present") as temporary:
        temporary.write_bytes(b"\1" * shard.rows)


class RemoteRows:
    """Fetches rows of large arrays into the local copy of a store."""

    def __init__(
        self,
        uri: str,
        folder: Path,
        spec: FeatureSpec,
        shards: list[Shard],
        keys: list[Bytes],
        digests: list[Bytes],
    ) -> None:
        self.uri, self.folder, self.spec, self.shards = uri, folder, spec, shards
        self._keys, self._digests = keys, digests
        self._large = [name for name in sorted(spec.arrays) if spec.is_large(name)]
        self._present: list[Bytes] = []
        store = open_store(uri)
        for shard in shards:
            for name in sorted(set(spec.arrays) - set(self._large)):
                _bring_file(store, folder, shard.file(name), shard.files_sha256.get(name, ""))
            self._present.append(self._prepare(shard))

    def present(self, shard: int) -> npt.NDArray[np.bool_]:
        """Which rows of a shard are here."""
        if not self._large:
            return np.ones(self.shards[shard].rows, bool)
        return np.asarray(self._present[shard] == 1)

    def forget(self, shard: int, row: int) -> None:
        """Has a row fetched again, because its copy is damaged."""
        self._present[shard][row] = 0

    def bring(self, shard: int, rows: Rows) -> None:
        """Fetches those of ``rows`` that are not here, neighbours in one request.

        Raises:
            DigestError: the bytes stayed wrong; the image is named.
        """
        wanted = np.unique(rows[self._present[shard][rows] != 1])
        if len(wanted):
            pool = _pool(os.getpid())
            list(pool.map(lambda run: self._bring_run(shard, *run), self._runs(wanted)))

    def _runs(self, rows: Rows) -> Iterator[tuple[int, int]]:
        """Ranges of consecutive rows, none above `RANGE_BYTES` unless of one row."""
        most = max(1, RANGE_BYTES // max(map(self.spec.row_bytes, self._large)))
        low = high = int(rows[0])
        for row in map(int, rows):
            if row > high or row - low >= most:
                yield low, high
                low = row
            high = row + 1
        yield low, high

    def _bring_run(self, shard: int, low: int, high: int) -> None:
        if low == high:
            return
        bad = low
        for _ in range(NUM_FETCHES):
            fetched = {name: self._fetch(shard, name, low, high) for name in self._large}
            bad = self._first_bad(shard, low, high, fetched)
            if bad < 0:
                break
        else:
            key = self._keys[shard][bad].tobytes().hex()
            raise DigestError(f"{self.uri}: features of image {key} are not those that were "
                              "written; extract them again")  # fmt: skip
        for name, array in fetched.items():
            path = self.folder / self.shards[shard].file(name)
            offset = HEADER_BYTES + low * self.spec.row_bytes(name)
            with storage_errors(path), open(path, "r+b", buffering=0) as file:
                os.pwrite(file.fileno(), array.data, offset)
        self._present[shard][low:high] = 1

    def _fetch(self, shard: int, name: str, low: int, high: int) -> Array:
        num_bytes, file = self.spec.row_bytes(name), self.shards[shard].file(name)
        start = HEADER_BYTES + low * num_bytes
        data = open_store(self.uri).read_range(file, start, (high - low) * num_bytes)
        if len(data) != (high - low) * num_bytes:
            raise DigestError(f"{self.uri}/{file}: it ends too early; extract again")
        shape = (high - low, *self.spec.arrays[name][0])
        return np.frombuffer(data, self.spec.dtype(name)).reshape(shape)

    def _first_bad(self, shard: int, low: int, high: int, fetched: dict[str, Array]) -> int:
        """The first row of a run whose digest is wrong, or -1."""
        arrays = []
        for name in sorted(self.spec.arrays):
            here = fetched.get(name)
            arrays.append(self._small(shard, name)[low:high] if here is None else here)
        for row in range(low, high):
            key = self._keys[shard][row].tobytes()
            digest = row_digest(key, [array[row - low] for array in arrays])
            if digest != self._digests[shard][row].tobytes():
                return row
        return -1

    def _small(self, shard: int, name: str) -> Array:
        entry = self.shards[shard]
        return map_rows(self.folder / entry.file(name), name, entry.rows, self.spec)

    def _prepare(self, shard: Shard) -> Bytes:
        """Makes the files with holes and the marks, where they are not there."""
        for name in self._large:
            header = rows_header(self.spec, name, shard.rows)
            size = HEADER_BYTES + shard.rows * self.spec.row_bytes(name)

            def write(path: Path, header: bytes = header, size: int = size) -> None:
                path.write_bytes(header)
                os.truncate(path, size)

            _make_once(self.folder / shard.file(name), write)
        marks = self.folder / f"{shard.name}.present"
        _make_once(marks, lambda path: path.write_bytes(bytes(shard.rows)))
        return np.memmap(marks, np.uint8, "r+", 0, (shard.rows,))


def _make_once(path: Path, write: Callable[[Path], object]) -> None:
    """Makes a file unless it is there; of several processes that do, one wins."""
    if path.exists():
        return
    temporary = beside(path)
    with storage_errors(path):
        try:
            write(temporary)
            os.link(temporary, path)
        except FileExistsError:
            return
        finally:
            temporary.unlink(missing_ok=True)


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads of this process: those of a parent do not live on in a forked worker."""
    return ThreadPoolExecutor(NUM_THREADS, thread_name_prefix=f"features-{process}")
