"""Parquet and Arrow tables as rows, with the images that lie inside of them.

Hugging Face's datasets writes an image as ``{"bytes", "path"}``, img2dataset as a column of bytes.
They stay where they are: in Arrow files, which are not compressed, by offset; in Parquet by row.
Indices that ``datasets`` keeps beside an Arrow file choose other rows, so such a folder is refused.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dico.data.formats.columns import IMAGE_KEYS, normal_key
from dico.data.formats.reading import Embedded, Reading, Row
from dico.images.embedded import embedded_uri

_ROWS = 10_000
_ROWS_WITH_IMAGES = 32
Images = dict[str, Callable[[int], Embedded | str | None]]


def schema_names(path: str) -> list[str]:
    """Names of a table's columns; empty where it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.endswith(".arrow"):
            with pa.memory_map(path) as source:
                return list(_arrow_reader(source).schema.names)
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError, ValueError):
        return []


def read_parquet(path: str, reading: Reading) -> Iterator[Row]:
    """Rows of a Parquet file, in batches."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    index = 0
    try:
        file = pq.ParquetFile(path)
        inside = _image_columns(file.schema_arrow, reading)
        size = _ROWS_WITH_IMAGES if inside else _ROWS
        for group in range(file.num_row_groups):
            start = 0
            for batch in file.iter_batches(size, row_groups=[group]):
                images = {
                    name: _from_parquet(batch, name, leaf, reading, (group, start))
                    for name, leaf in inside.items()
                }
                for row in _rows(batch, images):
                    yield f"{path}, row {index}", row, []
                    index += 1
                start += batch.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        detail = f"{' '.join(str(error).split())[:200]} after {index} rows"
        yield path, None, [("file_malformed", detail)]


def read_arrow(path: str, reading: Reading) -> Iterator[Row]:
    """Rows of an Arrow file, as ``Dataset.save_to_disk`` writes it; images are not copied."""
    import pyarrow as pa

    index = 0
    if _has_indices(path):
        detail = "rows are chosen by indices beside it; save it again after flatten_indices()"
        yield path, None, [("file_malformed", detail)]
        return
    try:
        with pa.memory_map(path) as source:
            base = _address(source)
            for batch in _arrow_batches(source):
                inside = _image_columns(batch.schema, reading)
                images = {
                    name: _from_arrow(batch, name, leaf, reading, base)
                    for name, leaf in inside.items()
                }
                for row in _rows(batch, images):
                    yield f"{path}, row {index}", row, []
                    index += 1
    except (pa.ArrowException, OSError, ValueError) as error:
        detail = f"{' '.join(str(error).split())[:200]} after {index} rows"
        yield path, None, [("file_malformed", detail)]


def _rows(batch: Any, images: Images) -> Iterator[dict[str, Any]]:
    plain = batch.drop_columns(list(images)) if images else batch
    names = {name: normal_key(name) for name in batch.schema.names}
    for index, row in enumerate(plain.to_pylist() or [{}] * batch.num_rows):
        kept = {names[key]: value for key, value in row.items()}
        kept |= {names[name]: find(index) for name, find in images.items()}
        yield kept


def _image_columns(schema: Any, reading: Reading) -> dict[str, str]:
    """Columns of bytes, and of objects with bytes: name to path."""
    import pyarrow as pa

    def is_bytes(kind: Any) -> bool:
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    found = {}
    for field in schema:
        named = field.name == reading.columns.image or normal_key(field.name) in IMAGE_KEYS
        if pa.types.is_struct(field.type):
            inner = {one.name: one.type for one in field.type}
            if "bytes" in inner and is_bytes(inner["bytes"]):
                found[field.name] = f"{field.name}.bytes"
        elif named and is_bytes(field.type):
            found[field.name] = field.name
    return found


def _paths(batch: Any, name: str, leaf: str) -> list[str | None]:
    """The file names that a table remembers beside its images."""
    column = batch.column(name)
    if leaf == name or column.type.get_field_index("path") < 0:
        return [None] * batch.num_rows
    return list(column.field("path").to_pylist())


def _from_parquet(
    batch: Any, name: str, leaf: str, reading: Reading, place: tuple[int, int]
) -> Callable[[int], Embedded | str | None]:
    column = batch.column(name)
    values = column if leaf == name else column.field("bytes")
    paths = _paths(batch, name, leaf)
    group, start = place

    def find(index: int) -> Embedded | str | None:
        if not values[index].is_valid:
            return paths[index]
        data = values[index].as_py() if reading.pixels else None
        uri = embedded_uri(reading.uri, group, start + index, leaf)
        return Embedded(uri, data, paths[index] or _row_name(reading, group, start + index))

    return find


def _row_name(reading: Reading, group: int, row: int) -> str:
    stem = reading.uri.rpartition("/")[2].partition(".")[0]
    return f"{stem}-{group}-{row}"


def _from_arrow(
    batch: Any, name: str, leaf: str, reading: Reading, base: tuple[int, int]
) -> Callable[[int], Embedded | str | None]:
    column = batch.column(name)
    values = column if leaf == name else column.field("bytes")
    paths = _paths(batch, name, leaf)
    start, size = base
    ends, first = _ends(values)
    offset_of = first - start

    def find(index: int) -> Embedded | str | None:
        if not values[index].is_valid:
            return paths[index]
        begin, end = int(ends[index]), int(ends[index + 1])
        offset, num_bytes = offset_of + begin, end - begin
        called = paths[index] or f"{offset}"
        if not 0 <= offset <= size - num_bytes:
            return Embedded(reading.uri, None, called, "compressed Arrow: save it as Parquet")
        data = values[index].as_py() if reading.pixels else None
        return Embedded(embedded_uri(reading.uri, offset, num_bytes, called), data, called)

    return find


def _ends(values: Any) -> tuple[Any, int]:
    """Where each value of a column of bytes begins and ends, and the address of the first byte."""
    import numpy as np
    import pyarrow as pa

    _, offsets, data = values.buffers()
    kind = np.int64 if pa.types.is_large_binary(values.type) else np.int32
    ends = np.frombuffer(offsets, kind)[values.offset : values.offset + len(values) + 1]
    return ends, data.address if data is not None else -1


def _arrow_reader(source: Any) -> Any:
    """A reader of the stream's or the file's form of Arrow."""
    import pyarrow as pa

    begin = source.read(6)
    source.seek(0)
    return pa.ipc.open_file(source) if begin == b"ARROW1" else pa.ipc.open_stream(source)


def _arrow_batches(source: Any) -> Iterator[Any]:
    reader = _arrow_reader(source)
    if hasattr(reader, "num_record_batches"):
        yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
    else:
        yield from reader


def _address(source: Any) -> tuple[int, int]:
    """Where a mapped file lies in memory, and its size."""
    buffer = source.read_buffer(1)
    source.seek(0)
    return buffer.address, source.size()


def _has_indices(path: str) -> bool:
    """Whether ``datasets`` keeps indices beside this Arrow file, which choose other rows."""
    try:
        state = json.loads((Path(path).parent / "state.json").read_text(encoding="utf-8"))
        return bool(state.get("_indices_data_files") or state.get("_indices_files"))
    except (OSError, ValueError, AttributeError):
        return False
