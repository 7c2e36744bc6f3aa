"""CSV, TSV and Parquet tables as rows."""

import csv
import json
from collections.abc import Iterator
from typing import Any

from dico.data.formats.rows import CAPTIONS_KEYS, Row
from dico.data.formats.texts import open_text

MAX_FIELD_CHARS = 32_000_000
_LISTS = (*CAPTIONS_KEYS, "positive_images", "positive_captions")


def read_csv(path: str) -> Iterator[Row]:
    """Rows of a CSV or TSV file with a header; a list is written as JSON in its field."""
    csv.field_size_limit(MAX_FIELD_CHARS)
    with open_text(path) as file:
        delimiter = "\t" if ".tsv" in path.lower() else _delimiter(file.readline())
        file.seek(0)
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = [name.strip().lower() for name in next(reader, [])]
        except csv.Error as error:
            yield f"{path}:1", None, [("file_malformed", f"CSV: {error}")]
            return
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield f"{path}:{reader.line_num}", None, [("file_truncated", f"CSV: {error}")]
                continue
            if fields:
                yield _csv_row(header, fields, f"{path}:{reader.line_num}")


def read_parquet(path: str) -> Iterator[Row]:
    """Rows of a Parquet file, in batches."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    index = 0
    try:
        for batch in pq.ParquetFile(path).iter_batches(batch_size=10_000):
            for row in batch.to_pylist():
                yield f"{path}, row {index}", {str(k).lower(): v for k, v in row.items()}, []
                index += 1
    except (pa.ArrowException, OSError) as error:
        detail = f"{' '.join(str(error).split())[:200]} after {index} rows"
        yield path, None, [("file_malformed", detail)]


def _delimiter(header: str) -> str:
    return max(",;\t|", key=header.count)


def _csv_row(header: list[str], fields: list[str], where: str) -> Row:
    if len(fields) != len(header):
        detail = f"{len(fields)} fields, and the header has {len(header)}"
        return where, None, [("row_malformed", detail)]
    row: dict[str, Any] = {k: v for k, v in zip(header, fields, strict=True) if v != ""}
    findings: list[tuple[str, str]] = []
    for key in _LISTS:
        if isinstance(row.get(key), str) and row[key].lstrip().startswith("["):
            try:
                row[key] = json.loads(row[key])
            except (ValueError, RecursionError) as error:
                findings.append(("row_malformed", f"{key} is not a JSON list: {error}"))
    if "caption" in header and "caption" not in row:
        row["caption"] = ""
    return where, row, findings
