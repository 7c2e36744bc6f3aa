"""Images in the columns of Parquet files, by row group and row.

A row group whose images fit into memory is decoded once and kept; of a larger one the rows are
decoded in their order, so that reading forwards costs no row twice.
"""

import io
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dico.errors import DataError, one_line
from dico.images.base64_text import from_base64
from dico.images.errors import ImageError
from dico.storage import open_store, split_uri
from dico.storage.uris import is_remote

KEPT_BYTES = 128 << 20
"""Images of one file that are kept decoded, bytes."""
_NUM_FILES = 4
_BATCH_ROWS = 16
_LIST_STEP = re.compile(r"\.list\.(?:element|item)")


@dataclass(slots=True)
class _Table:
    """An open file and what of it is decoded."""

    file: Any
    stamp: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    kept: "OrderedDict[tuple[int, str], Any]" = field(default_factory=OrderedDict)
    kept_bytes: int = 0
    cursor: tuple[int, str] = (-1, "")
    rows: "Iterator[tuple[int, bytes | None]] | None" = None
    next_row: int = 0


_TABLES: "OrderedDict[str, _Table]" = OrderedDict()
_LOCK = threading.Lock()


def read_cell(path: str, group: int, row: int, column: str) -> bytes:
    """The bytes of one image.

    Args:
        path: local path or s3:// URI of the file.
        group: row group, from 0.
        row: row in the group, from 0.
        column: path of the column of bytes, such as ``image.bytes``.

    Raises:
        ImageError: there is no such row, or no image in it.
    """
    import pyarrow as pa

    try:
        table = _open(path)
        with table.lock:
            data = _read(table, group, row, column)
    except FileNotFoundError:
        raise ImageError("image_missing", f"{path}: no such file") from None
    except (pa.ArrowException, OSError, IndexError, KeyError, ValueError) as error:
        raise ImageError(
            "image_missing", f"{path}, group {group}, row {row}: {one_line(error)}"
        ) from None
    if data is None:
        raise ImageError("image_missing", f"{path}, group {group}, row {row}: no image")
    return data


def _open(path: str) -> _Table:
    import pyarrow.parquet as pq

    stamp = _stamp(path)
    with _LOCK:
        table = _TABLES.get(path)
        if table is None or table.stamp != stamp:
            source = io.BufferedReader(_Remote(path), 1 << 20) if is_remote(path) else path
            table = _TABLES[path] = _Table(pq.ParquetFile(source), stamp)
        _TABLES.move_to_end(path)
        while len(_TABLES) > _NUM_FILES:
            _TABLES.popitem(last=False)
    return table


def _stamp(path: str) -> str:
    if is_remote(path):
        return path
    state = os.stat(path)
    return f"{state.st_size} {state.st_mtime_ns}"


def _read(table: _Table, group: int, row: int, column: str) -> bytes | None:
    found = table.kept.get((group, column))
    if found is None and _size(table, group, column) <= KEPT_BYTES:
        found = _keep(table, group, column)
    if found is not None:
        table.kept.move_to_end((group, column))
        return _bytes(found[row])
    if table.cursor != (group, column) or row < table.next_row:
        table.rows = _rows(table.file, group, column)
        table.cursor, table.next_row = (group, column), 0
    assert table.rows is not None
    for index, data in table.rows:
        table.next_row = index + 1
        if index == row:
            return data
    raise IndexError("no such row")


def _keep(table: _Table, group: int, column: str) -> Any:
    size = _size(table, group, column)
    while table.kept and table.kept_bytes + size > KEPT_BYTES:
        (old_group, old_column), _ = table.kept.popitem(last=False)
        table.kept_bytes -= _size(table, old_group, old_column)
    values = _leaf(table.file.read_row_group(group, columns=[_path(table.file, column)]), column)
    table.kept[group, column] = values
    table.kept_bytes += size
    return values


def _size(table: _Table, group: int, column: str) -> int:
    """Bytes of a column in a row group."""
    found = table.file.metadata.row_group(group)
    for index in range(found.num_columns):
        one = found.column(index)
        if _plain(one.path_in_schema) == column:
            return int(one.total_uncompressed_size)
    raise KeyError(f"no column {column!r}")


def _path(file: Any, column: str) -> str:
    """A column's path as the file writes it: through its list, where a row has a list."""
    paths = (file.schema.column(index).path for index in range(len(file.schema)))
    return str(next(path for path in paths if _plain(path) == column))


def _plain(path: str) -> str:
    return _LIST_STEP.sub("", path)


def _rows(file: Any, group: int, column: str) -> Iterator[tuple[int, bytes | None]]:
    index = 0
    path = _path(file, column)
    for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=[path]):
        for value in _leaf(batch, column):
            yield index, _bytes(value)
            index += 1


def _leaf(batch: Any, column: str) -> Any:
    """The column itself, where its path leads into objects."""
    import pyarrow as pa
    import pyarrow.compute as pc

    name, *rest = column.split(".")
    values = batch.column(0) if name not in batch.schema.names else batch.column(name)
    return pc.struct_field(values, rest) if rest and pa.types.is_struct(values.type) else values


def _bytes(value: Any) -> bytes | None:
    """A cell's image: bytes, base64, or the one object of a list."""
    data = value.as_py()
    if isinstance(data, list):
        data = data[0] if len(data) == 1 else None
    if isinstance(data, dict):
        data = data["bytes"]
    if isinstance(data, str):
        return from_base64(data, "a column")
    return None if data is None else bytes(data)


class _Remote(io.RawIOBase):
    """A file in an object store, read by ranges."""

    def __init__(self, uri: str) -> None:
        store, self._key = split_uri(uri)
        self._store = open_store(store)
        self._size = self._store.num_bytes(self._key)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, target: Any) -> int:
        wanted = min(len(target), self._size - self._at)
        if wanted <= 0:
            return 0
        data = self._store.read_range(self._key, self._at, wanted)
        if not data:
            raise DataError(f"{self._key}: the store gave no bytes")
        target[: len(data)] = data
        self._at += len(data)
        return len(data)
