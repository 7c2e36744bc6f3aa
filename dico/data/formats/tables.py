"""Parquet and Arrow tables as rows, with the images that lie inside of them.

Hugging Face's datasets writes an image as ``{"bytes", "path"}``, img2dataset as a column of bytes.
They stay where they are: in Arrow files, which are not compressed, by offset; in Parquet by row.
Indices that ``datasets`` keeps beside an Arrow file choose other rows, so such a folder is refused.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dico.data.formats.columns import IMAGE_KEYS, normal_key
from dico.data.formats.reading import Embedded, Reading, Row
from dico.images.base64_text import from_base64
from dico.images.embedded import embedded_uri, looks_embedded
from dico.images.errors import ImageError

_ROWS = 10_000
_ROWS_WITH_IMAGES = 32
_LONGEST_NAME = 200  # bytes a row from which a column of texts may be images in base64
Images = dict[str, Callable[[int], Any]]


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
        file = pq.ParquetFile(path, memory_map=True)
        inside = _image_columns(file.schema_arrow, reading, _row_bytes(file.metadata))
        size = _ROWS_WITH_IMAGES if inside else _ROWS
        for group in range(file.num_row_groups):
            start = 0
            for batch in file.iter_batches(size, row_groups=[group]):
                images = {
                    one.name: _images_of(batch, one, _in_parquet(reading, group, start, one))
                    for one in inside
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
            for batch in filter(len, _arrow_batches(source)):
                sizes = {n: batch.column(n).nbytes / batch.num_rows for n in batch.schema.names}
                images = {
                    one.name: _images_of(batch, one, _in_arrow(reading, base))
                    for one in _image_columns(batch.schema, reading, sizes)
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


@dataclass(frozen=True, slots=True)
class _Inside:
    """A column that holds images."""

    name: str
    """The column."""
    leaf: str
    """The path of its bytes, such as ``image.bytes``; the list's own step is left out."""
    is_list: bool = False
    """Whether a row has a list of images."""


def _image_columns(schema: Any, reading: Reading, row_bytes: Mapping[str, float]) -> list[_Inside]:
    """Columns of bytes, of objects with bytes, of lists of these, and of texts too long for names."""
    import pyarrow as pa

    found = []
    for field in schema:
        kind = field.type
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        kind = kind.value_type if is_list else kind
        named = field.name == reading.columns.image or normal_key(field.name) in IMAGE_KEYS
        if pa.types.is_struct(kind):
            inner = {one.name: one.type for one in kind}
            if "bytes" in inner and _is_bytes(inner["bytes"]):
                found.append(_Inside(field.name, f"{field.name}.bytes", is_list))
        is_long = row_bytes.get(field.name, 0) > _LONGEST_NAME and _is_text(kind) and not is_list
        if named and (_is_bytes(kind) or is_long):
            found.append(_Inside(field.name, field.name, is_list))
    return found


def _row_bytes(metadata: Any) -> dict[str, float]:
    """Bytes a row of each plain column, by the first row group."""
    if not metadata.num_row_groups:
        return {}
    group = metadata.row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    rows = max(1, group.num_rows)
    return {one.path_in_schema: one.total_uncompressed_size / rows for one in columns}


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


Place = Callable[[int, int, str], Embedded]
"""An image from its index in the column of bytes, its row and its name."""


def _images_of(batch: Any, inside: _Inside, places: Callable[[Any], Place]) -> Callable[[int], Any]:
    """The images of one column of a batch: an `Embedded`, a name, several of them, or None."""
    column, starts = batch.column(inside.name), None
    if inside.is_list:
        starts = column.offsets.to_pylist()
        column = column.values
    values = column if inside.leaf == inside.name else column.field("bytes")
    has_path = values is not column and column.type.get_field_index("path") >= 0
    paths = column.field("path") if has_path else None
    texts = _is_text(values.type)
    place = places(values)

    def one(index: int, row: int) -> Embedded | str | None:
        name = paths[index].as_py() if paths is not None else None
        if not column[index].is_valid or not values[index].is_valid:
            return name
        if name and not values[index].as_buffer().size:
            return str(name)  # an empty image beside a path, which some tools write for none
        if texts and not looks_embedded(values[index].as_py()):
            return str(values[index].as_py())
        return place(index, row, name or "")

    def find(row: int) -> Any:
        if starts is None:
            return one(row, row)
        return [one(index, row) for index in range(starts[row], starts[row + 1])] or None

    return find


def _in_parquet(
    reading: Reading, group: int, start: int, inside: _Inside
) -> Callable[[Any], Place]:
    """Places by row group and row; the column is decompressed anew for each reading."""

    def places(values: Any) -> Place:
        def place(index: int, row: int, name: str) -> Embedded:
            uri = embedded_uri(reading.uri, group, start + row, inside.leaf)
            called = name or _row_name(reading, group, start + row)
            return _embedded(uri, values[index], called, reading)

        return place

    return places


def _row_name(reading: Reading, group: int, row: int) -> str:
    stem = reading.uri.rpartition("/")[2].partition(".")[0]
    return f"{stem}-{group}-{row}"


def _in_arrow(reading: Reading, base: tuple[int, int]) -> Callable[[Any], Place]:
    """Places by offset: an Arrow file in memory is the file on the disk."""
    start, size = base

    def places(values: Any) -> Place:
        ends, first = _ends(values)

        def place(index: int, _row: int, name: str) -> Embedded:
            begin, end = int(ends[index]), int(ends[index + 1])
            offset, num_bytes = first - start + begin, end - begin
            called = name or f"{offset}"
            if not 0 <= offset <= size - num_bytes:
                return Embedded(reading.uri, None, called, "compressed Arrow: save it as Parquet")
            uri = embedded_uri(reading.uri, offset, num_bytes, called)
            return _embedded(uri, values[index], called, reading)

        return place

    return places


def _embedded(uri: str, value: Any, name: str, reading: Reading) -> Embedded:
    """An image at its place, with its bytes where they are wanted."""
    if not reading.pixels:
        return Embedded(uri, None, name)
    data = value.as_py()
    try:
        return Embedded(uri, from_base64(data, uri) if isinstance(data, str) else data, name)
    except ImageError as error:
        return Embedded(uri, None, name, str(error))


def _ends(values: Any) -> tuple[Any, int]:
    """Where each value of a column of bytes begins and ends, and the address of the first byte."""
    import numpy as np
    import pyarrow as pa

    _, offsets, data = values.buffers()
    large = pa.types.is_large_binary(values.type) or pa.types.is_large_string(values.type)
    kind = np.int64 if large else np.int32
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
