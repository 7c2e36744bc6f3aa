"""Tells a dataset's format by its content, and refuses to guess between two.

A dataset is a file, a folder or s3:// prefix, or several of them with commas, each with an optional
split: ``train=captions_train2017.json,validation=captions_val2017.json``.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import replace

from dico.data.entries import SPLIT_NAMES, Entry, split_in_name
from dico.data.finder import ImageFinder
from dico.data.formats import texts
from dico.data.formats.columns import KNOWN_NAMES, Columns
from dico.data.formats.dataset import FORMATS, Dataset, Part
from dico.data.formats.folders import parts_in
from dico.data.formats.names import DistinctNames
from dico.data.formats.reading import Reading
from dico.data.formats.recognise import DATA_SUFFIXES, LINES_SUFFIXES, format_of
from dico.data.formats.split_lists import find_lists, read_lists
from dico.errors import DataError, UsageError
from dico.facts import FACTS_FILE
from dico.storage.uris import is_remote, join, list_files, local_copy, parent

_LISTED = ("captions", "csv")
"""Formats of one file beside which lists of names may tell the splits."""


def detect(
    dataset: str, images: str = "", format_name: str = "", columns: Columns = KNOWN_NAMES
) -> Dataset:
    """Finds the files and the format of ``dataset``.

    Args:
        dataset: file, folder, prefix, or several with commas; see the module's text.
        images: folders or prefixes of the images, with commas; empty means beside the file.
        format_name: one of `FORMATS`; empty means by content.
        columns: the columns that the user names.

    Raises:
        UsageError: ambiguous, or an unknown format name.
        DataError: missing, or of no known format.
    """
    if format_name and format_name not in FORMATS:
        raise UsageError(f"format {format_name!r} is unknown; known are {', '.join(FORMATS)}")
    if not dataset.strip():
        raise UsageError("no dataset given; name a file, folder or s3:// prefix")
    parts: list[Part] = []
    for piece in dataset.split(","):
        parts += _parts_of(piece.strip(), format_name, columns)
    formats = {format_name or _format_of(part.uri, columns) for part in parts}
    if len(formats) > 1:
        raise UsageError(
            f"{dataset}: looks like {' and '.join(sorted(formats))}; "
            "name one file, or say which is meant with --format"
        )
    name = formats.pop()
    own = [split_in_name(part.uri.rpartition("/")[2]) for part in parts]
    if name in ("coco", "arrow", "parquet") or (all(own) and len(set(own)) > 1):
        parts = [replace(p, split=p.split or s) for p, s in zip(parts, own, strict=True)]
    parts = [replace(part, roots=_roots(part.uri, images)) for part in parts]
    lists = find_lists(parts[0].uri) if name in _LISTED and len(parts) == 1 else ()
    return Dataset(name, tuple(parts), columns, lists, strict="," in images)


def of_file(path: str, images: str = "", columns: Columns = KNOWN_NAMES) -> Dataset:
    """A dataset of one local file, whatever its path holds; raises as `detect`."""
    uri = os.path.abspath(path)
    part = Part(uri, split_in_name(uri.rpartition("/")[2]), _roots(uri, images))
    try:
        name = format_of(uri, columns)
    except DataError:
        is_object = texts.head(uri, 64).lstrip("\ufeff \t\r\n").startswith("{")
        if not is_object or uri.lower().endswith(LINES_SUFFIXES):
            raise
        name = "mapping"  # values of any kind are said to be no captions, one by one
    return Dataset(name, (part if name == "coco" else replace(part, split=""),), columns)


def facts_beside(dataset: Dataset) -> str:
    """Where the facts of a dataset would be: beside its first file."""
    first = dataset.parts[0].uri
    return join(first if dataset.format == "sidecar" else parent(first), FACTS_FILE)


def read_entries(
    dataset: Dataset,
    check_exists: bool = True,
    pixels: bool = False,
    captions_only: bool = False,
    readings: "list[Reading] | None" = None,
    deep: bool = False,
) -> Iterator[Entry]:
    """All images of a dataset, streamed; broken rows come as entries with findings.

    Args:
        dataset: what `detect` found.
        check_exists: whether images are looked for; otherwise they are named below the first root.
        pixels: whether images inside tables are handed on with their entries.
        captions_only: whether rows without an image are well.
        readings: gets what was met in each file.
        deep: whether images may lie in all folders below the roots, not just below them.
    """
    names = DistinctNames(len(dataset.parts) > 1)
    lists = read_lists(dataset.splits)
    for part in dataset.parts:
        finder = ImageFinder(part.roots, check_exists, dataset.strict, deep)
        reading = Reading(finder, dataset.columns, part.uri, part.split, pixels, captions_only)
        if readings is not None:
            readings.append(reading)
        for entry in _read_part(dataset.format, part, reading):
            entry.split = entry.split or part.split
            lists.apply(entry)
            names.tell_apart(entry, part)
            yield entry


def _read_part(format_name: str, part: Part, reading: Reading) -> Iterator[Entry]:
    if format_name == "webdataset":
        from dico.data.formats import webdataset

        yield from webdataset.read(reading)
        return
    if format_name == "sidecar":
        from dico.data.formats import sidecar

        yield from sidecar.read(list_files(part.uri), reading)
        return
    with local_copy(part.uri) as path:
        for entry in _read_file(format_name, str(path), reading):
            if is_remote(part.uri):
                entry.where = entry.where.replace(str(path), part.uri)
                entry.other_places = [w.replace(str(path), part.uri) for w in entry.other_places]
            yield entry


def _read_file(format_name: str, path: str, reading: Reading) -> Iterator[Entry]:
    from dico.data.formats import coco, karpathy, lines, mapping, rows, tables

    texts.require_file(path)
    match format_name:
        case "karpathy":
            return karpathy.read(path, reading)
        case "coco":
            return coco.read(path, reading)
        case "mapping":
            return mapping.read(path, reading)
        case "jsonl":
            return rows.read(lines.read_lines(path, reading), reading)
        case "json":
            return rows.read(lines.read_list(path, reading), reading)
        case "parquet":
            return rows.read(tables.read_parquet(path, reading), reading)
        case "arrow":
            return rows.read(tables.read_arrow(path, reading), reading)
        case _:
            return rows.read(_text_table(path, reading), reading)


def _text_table(
    path: str, reading: Reading
) -> "Iterator[tuple[str, object, list[tuple[str, str]]]]":
    from dico.data.formats import delimited
    from dico.data.formats.dialect import plain_dialect, sniff

    text = texts.head(path, 262_144)
    dialect = sniff(text, reading.columns) or plain_dialect(text)
    return delimited.read(path, dialect, reading)


def _format_of(uri: str, columns: Columns) -> str:
    """A file's format; a part that is a folder still was told to be one of sidecars."""
    return "sidecar" if _is_folder(uri) else format_of(uri, columns)


def _is_folder(uri: str) -> bool:
    return not uri.lower().endswith(DATA_SUFFIXES) if is_remote(uri) else os.path.isdir(uri)


def _parts_of(piece: str, format_name: str, columns: Columns) -> list[Part]:
    name, separator, rest = piece.partition("=")
    split = SPLIT_NAMES.get(name.strip().lower(), "") if separator else ""
    uri = rest.strip() if split else piece
    if not is_remote(uri):
        uri = os.path.abspath(uri.removeprefix("file://"))
    if "{" in uri and ".tar" in uri:
        return [Part(one, split) for one in _braces(uri)]
    if not _is_folder(uri):
        if not is_remote(uri):
            texts.require_file(uri)
        return [Part(uri, split)]
    parts = parts_in(uri.rstrip("/"), format_name, columns)
    return [replace(part, split=split or part.split) for part in parts]


def _roots(uri: str, images: str) -> tuple[str, ...]:
    if images:
        roots = [one.strip().rstrip("/") or "/" for one in images.split(",")]
        return tuple(one if is_remote(one) else os.path.abspath(one) for one in roots)
    folder = parent(uri)
    above = parent(folder)
    found = [
        folder,
        join(folder, "images"),
        join(folder, "Images"),
        above,
        join(above, "images"),
        join(above, "Images"),
    ]
    if is_remote(uri):
        found = [root for root in found if root.removeprefix("s3:/").strip("/")]
    return tuple(dict.fromkeys(found))


def _braces(uri: str) -> list[str]:
    """Expands ``shard-{000..010}.tar``."""
    match = re.fullmatch(r"(.*)\{(\d+)\.\.(\d+)\}(.*)", uri)
    if not match:
        raise UsageError(f"{uri}: braces are read as {{000..010}}")
    before, low, high, after = match.groups()
    return [f"{before}{n:0{len(low)}d}{after}" for n in range(int(low), int(high) + 1)]
