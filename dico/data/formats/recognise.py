"""The format of one file, by its content; its name counts only where the content tells nothing."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dico.data.formats import texts
from dico.data.formats.captions_of import image_in_turns
from dico.data.formats.columns import (
    CAPTION_KEYS,
    CAPTIONS_KEYS,
    ID_KEYS,
    IMAGE_KEYS,
    KNOWN_NAMES,
    TURN_KEYS,
    Columns,
    first,
    known_columns,
    normal_key,
)
from dico.data.formats.dataset import FORMATS
from dico.data.formats.dialect import sniff, unknown_header
from dico.data.formats.lines import LIST_KEYS, RESULT_KEYS, equal_columns
from dico.data.formats.tasks import unwrap
from dico.errors import DataError, UsageError
from dico.storage.uris import is_remote, local_copy

TABLE_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
LINES_SUFFIXES = (".jsonl", ".ndjson", ".jsonlines", ".jsonl.gz", ".ndjson.gz", ".jsonlines.gz")
JSON_SUFFIXES = (".json", ".json.gz")
TEXT_SUFFIXES = (".txt", ".token", ".txt.gz")
DATA_SUFFIXES = (
    *TABLE_SUFFIXES,
    *LINES_SUFFIXES,
    *JSON_SUFFIXES,
    *TEXT_SUFFIXES,
    ".parquet",
    ".arrow",
    ".feather",
    ".tar",
)
_MAPPING = re.compile(  # an image's name, or any key with texts of several words or a caption
    r'\{\s*"(?:(?:[^"\\]|\\.)+\.(?:jpe?g|png|webp|gif|bmp|tiff?|avif|heic)"\s*:'
    r'|(?:[^"\\]|\\.)+"\s*:\s*(?:\[\s*"(?:[^"\\]|\\.)*\s(?:[^"\\]|\\.)*"'
    r'|\[?\s*\{\s*"(?:caption|raw|text)"))',
    re.IGNORECASE,
)
_SPLIT_LISTS = re.compile(
    r'\{\s*"(?:train|training|val|valid|validation|dev|test)"\s*:\s*\[\s*[{\]]', re.IGNORECASE
)
_SPLIT_OBJECTS = re.compile(
    r'\{\s*"(?:train|training|val|valid|validation|dev|test)"\s*:\s*\{', re.IGNORECASE
)
_FIRST_COLUMN = re.compile(r'\{\s*"([^"\\]+)"\s*:\s*\[\s*["\d\[]')
_FIRST_VALUE = re.compile(r'\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\[?\s*(?=\{)')
_KEYS = re.compile(r'"((?:[^"\\]|\\.){1,60})"\s*:')
_BINARY_FILES = {
    "PK\x03\x04": "a zip archive or an Excel workbook: unpack it, or save its table as CSV",
    "\udc80": "a pickle, which is never read, since it can run code: write JSON lines or Parquet",
    "SQLite format 3": "a SQLite database: export its table as CSV",
    "\udc93NUMPY": "a NumPy array: write JSON lines or Parquet",
    "\udc89HDF": "an HDF5 file: write JSON lines or Parquet",
    "\udcd0\udccf\x11": "an Excel or Word file of the old kind: save its table as CSV",
    "BZh": "packed by bzip2: unpack it",
    "\udcfd7zXZ": "packed by xz: unpack it",
    "(\udcb5/\udcfd": "packed by zstandard: unpack it",
}
_OTHER_TEXTS = {
    "<": "XML or HTML: write JSON lines or CSV",
    "- ": "YAML: write JSON lines",
}
_HEAD_CHARS = 262_144
_NUM_ROWS = 20


def format_of(uri: str, columns: Columns = KNOWN_NAMES) -> str:
    """One of `FORMATS`.

    Raises:
        DataError: of no known format, or a table whose columns are unknown.
        UsageError: two readings are possible.
    """
    name = uri.lower()
    if is_remote(uri) and name.endswith((".tar", ".parquet")):
        return "webdataset" if name.endswith(".tar") else "parquet"  # not fetched to be told
    with local_copy(uri) as path:
        texts.require_file(str(path))
        begin = texts.first_bytes(str(path), 512)
        if begin.startswith(b"PAR1") or name.endswith(".parquet"):
            _check_schema(uri, path, columns)
            return "parquet"
        if begin.startswith(b"ARROW1") or name.endswith((".arrow", ".feather")):
            return "arrow"
        if begin[257:262] == b"ustar" or name.endswith(".tar"):
            return "webdataset"
        text = texts.head(str(path), _HEAD_CHARS)
    return _text_format(uri, name, text, columns)


def _text_format(uri: str, name: str, text: str, columns: Columns) -> str:
    start = text.lstrip("\ufeff \t\r\n")
    _refuse_known(uri, start, _BINARY_FILES)
    if start.startswith(("{", "[")) and not name.endswith((*TABLE_SUFFIXES, ".token")):
        return _json_format(uri, start, name, columns)
    if name.endswith(JSON_SUFFIXES):
        what = "neither a JSON object nor a list" if start else "empty"
        raise DataError(f"{uri}: {what}, though its name says JSON")
    if name.endswith(LINES_SUFFIXES):
        return "jsonl"
    dialect = sniff(text, columns)
    if dialect is not None:
        return "csv" if dialect.has_header else "captions"
    if name.endswith(TABLE_SUFFIXES):
        if not start:
            return "csv"
        cells = unknown_header(text)
        if cells:
            _refuse_columns(uri, "a table", cells)
        return "csv"
    if text[257:262] == "ustar":
        raise DataError(f"{uri}: a compressed tar; unpack it by gunzip: images are read in place")
    _refuse_known(uri, start, _OTHER_TEXTS)
    raise DataError(f"{uri}: of no known format; known are {', '.join(FORMATS)}")


def _refuse_known(uri: str, start: str, kinds: Mapping[str, str]) -> None:
    """Refuses a file whose beginning tells what it is, with what to do instead."""
    for mark, what in kinds.items():
        if start.startswith(mark):
            raise DataError(f"{uri}: {what}; known formats are {', '.join(FORMATS)}")


def _json_format(uri: str, start: str, name: str, columns: Columns) -> str:
    """Tells JSON kinds by the keys at the head of the file."""
    if start.startswith("["):
        if _is_a_broken_first_line(start):
            return "jsonl"
        row = _first_of_list(start)
        if len(row) > 1:  # of a single key, what is missing is said where rows are read
            _check_rows(uri, [row], columns, "a JSON list")
        return "json"
    rows = _first_lines(start)
    if rows is not None and (len(rows) > 1 or name.endswith(LINES_SUFFIXES)):
        _check_rows(uri, rows, columns)
        return "jsonl"
    if rows is None and re.search(r"\}\s*\n\s*\{\s*\n", start) and start.startswith("{\n"):
        raise DataError(f"{uri}: JSON objects of several lines, one after the other: write each on a "
                        "line of its own, as jq -c . FILE does")  # fmt: skip
    if name.endswith(LINES_SUFFIXES):
        return "jsonl"
    return _object_format(uri, start, rows, columns)


def _first_of_list(start: str) -> dict[str, Any]:
    """The first item of a list, where it is an object within the head of the file; else empty."""
    try:
        row, _ = json.JSONDecoder().raw_decode(start[1:].lstrip())
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def _is_a_broken_first_line(start: str) -> bool:
    """Whether a list ends within its line and objects follow: JSON lines whose first is wrong."""
    first, _, rest = start.partition("\n")
    return first.rstrip().endswith("]") and rest.lstrip().startswith("{")


def _object_format(
    uri: str, start: str, rows: list[dict[str, Any]] | None, columns: Columns
) -> str:
    """The format of a file that is one JSON object, as far as its head shows."""
    listed = [key for key in LIST_KEYS if re.search(rf'"{key}"\s*:\s*\[', start)]
    images = re.search(r'"images"\s*:\s*\[', start)
    if images and re.search(r'"(sentences|sentids)"\s*:', start):
        return "karpathy"
    if images and re.search(r'"(annotations|coco_url|file_name)"\s*:', start):
        return "coco"
    if "annotations" in listed and '"image_id"' in start and not _names_its_images(start, columns):
        return "coco"
    listed += [key for key in RESULT_KEYS if re.search(rf'"{key}"\s*:\s*\[\s*\{{', start)]
    if _SPLIT_LISTS.match(start) or _is_of_columns(start, rows, columns):
        return "json"
    if listed and not images:
        if re.fullmatch(rf'\{{\s*"{listed[0]}"\s*:\s*\[\s*\]\s*\}}\s*', start):
            raise DataError(f"{uri}: the dataset has no images: its list {listed[0]} is empty; "
                            f"known formats are {', '.join(FORMATS)}")  # fmt: skip
        return "json"
    if rows is not None and not rows[0]:
        return "mapping"  # an object of nothing
    if rows:
        image, caption, has_id = known_columns(rows[0], columns)
        if caption and (image or has_id):
            return "jsonl"
    if images and _names_its_images(start, columns, "images", captions=True):
        return "json"
    if re.search(r'"images"\s*:\s*\[\s*\]', start):
        raise DataError(f"{uri}: the dataset has no images: its list of images is empty")
    if images:
        raise UsageError(
            f"{uri}: looks like karpathy or coco, and its first images tell neither; use --format"
        )
    if _MAPPING.match(start) or _SPLIT_OBJECTS.match(start) or _holds_rows(start, columns):
        return "mapping"
    keys = ", ".join(list(dict.fromkeys(_KEYS.findall(start[:4_000])))[:8])
    raise DataError(
        f"{uri}: JSON of no known kind, an object with the keys {keys}; say --format mapping where "
        f"these are names of images, with --caption-column where each is a row; known formats are "
        f"{', '.join(FORMATS)}"
    )


def _is_of_columns(start: str, rows: list[dict[str, Any]] | None, columns: Columns) -> bool:
    """Whether an object has a list for each column, as ``to_dict`` of tables writes it."""
    if rows:
        named = not {*columns.captions}.isdisjoint(rows[0])
        known = named or known_columns(rows[0], KNOWN_NAMES)[1]
        return known and len(equal_columns(rows[0])) > 1
    match = _FIRST_COLUMN.match(start)
    names = (*IMAGE_KEYS, *CAPTION_KEYS, *CAPTIONS_KEYS, *ID_KEYS)
    return match is not None and normal_key(match[1]) in names


def _holds_rows(start: str, columns: Columns) -> bool:
    """Whether an object's first value is a row, or a list of rows, as pandas and NWPU have them."""
    match = _FIRST_VALUE.match(start)
    try:
        row, _ = json.JSONDecoder().raw_decode(start, match.end() if match else 0)
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and all(known_columns(row, columns)[:2])


def _names_its_images(
    start: str, columns: Columns, key: str = "annotations", captions: bool = False
) -> bool:
    """Whether the first item of a list names its image itself, as RedCaps' annotations do."""
    match = re.search(rf'"{key}"\s*:\s*\[\s*', start)
    try:
        first, _ = json.JSONDecoder().raw_decode(start, match.end() if match else 0)
    except (ValueError, RecursionError):
        return False
    known = known_columns(first, columns) if isinstance(first, dict) else (False, False)
    return known[0] and (known[1] or not captions)


def _first_lines(start: str) -> list[dict[str, Any]] | None:
    """The objects of the first lines, where each line is one; None where they are not."""
    rows: list[dict[str, Any]] = []
    lines = start.split("\n")
    for line in lines[: _NUM_ROWS + 1]:
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError):
            if rows and len(lines) > 1:
                break  # a broken line is a finding of its own
            return None
    return rows if rows and all(isinstance(row, dict) for row in rows) else None


def _check_rows(
    uri: str, rows: list[dict[str, Any]], columns: Columns, what: str = "JSON lines"
) -> None:
    """Refuses rows none of which has an image or a caption under a known name."""
    seen = [known_columns(unwrap(row), columns) for row in rows]
    in_turns = any(image_in_turns(first(row, sorted(TURN_KEYS))) for row in rows)
    if not in_turns and not any(image or (has_id and caption) for image, caption, has_id in seen):
        _refuse_columns(uri, what, tuple(str(key) for key in rows[0]))


def _check_schema(uri: str, path: Path, columns: Columns) -> None:
    from dico.data.formats.tables import schema_names

    names = schema_names(str(path))
    image, caption, has_id = known_columns(names, columns)
    if names and not (image or has_id) and not caption:
        _refuse_columns(uri, "a Parquet table", tuple(names))


def _refuse_columns(uri: str, what: str, cells: tuple[str, ...]) -> None:
    shown = ", ".join(cell.strip()[:40] for cell in cells[:12])
    raise DataError(
        f"{uri}: looks like {what} of the columns {shown}; none is known to be the image with its "
        "caption: say --image-column NAME --caption-column NAME, in a run "
        "validation.image_column=NAME validation.caption_column=NAME"
    )
