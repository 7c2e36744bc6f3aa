"""Tells a dataset's format by its content, and refuses to guess between two.

A dataset is a file, a folder or s3:// prefix, or several of them with commas, each with an optional
split: ``train=captions_train2017.json,validation=captions_val2017.json``.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from dico.data.entries import SPLIT_NAMES, Entry
from dico.data.formats import texts
from dico.data.formats.rows import IMAGE_KEYS
from dico.errors import DataError, UsageError
from dico.facts import FACTS_FILE
from dico.storage.uris import (
    PICTURE_SUFFIXES,
    PictureFinder,
    is_remote,
    join,
    list_files,
    local_copy,
    parent,
)

FORMATS = {
    "karpathy": "Karpathy's JSON (images with sentences)",
    "coco": "COCO caption JSON (images and annotations)",
    "jsonl": "JSON lines, one picture or caption a line",
    "json": "a JSON list of pictures",
    "csv": "CSV or TSV table",
    "parquet": "Parquet table",
    "captions": "captions file beside a folder of pictures (picture<TAB>caption)",
    "webdataset": "WebDataset tars",
}
_TABLE_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_LINES_SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_JSON_SUFFIXES = (".json", ".json.gz")
_TEXT_SUFFIXES = (".txt", ".token", ".txt.gz")
DATA_SUFFIXES = (
    *_TABLE_SUFFIXES,
    *_LINES_SUFFIXES,
    *_JSON_SUFFIXES,
    *_TEXT_SUFFIXES,
    ".parquet",
    ".tar",
)
_NOT_DATASETS = (
    FACTS_FILE,
    "digests.json",
    "license.txt",
    "readme.txt",
    "requirements.txt",
    "package.json",
)


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a dataset."""

    uri: str
    """Where the file is."""
    split: str = ""
    """The split that the file stands for; empty when its rows say."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset whose format is known."""

    format: str
    """One of `FORMATS`."""
    parts: tuple[Part, ...]
    """Its files."""
    roots: tuple[str, ...]
    """Folders or prefixes in which its pictures are looked for."""


def detect(dataset: str, images: str = "", format_name: str = "") -> Dataset:
    """Finds the files and the format of ``dataset``.

    Args:
        dataset: file, folder, prefix, or several with commas; see the module's text.
        images: folder or prefix of the pictures; empty means beside the dataset's file.
        format_name: one of `FORMATS`; empty means by content.

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
        parts += _parts_of(piece.strip(), format_name)
    formats = {format_name or _format_of(part.uri) for part in parts}
    if len(formats) > 1:
        raise UsageError(
            f"{dataset}: looks like {' and '.join(sorted(formats))}; "
            "name one file, or say which is meant with --format"
        )
    name = formats.pop()
    if name == "coco":
        parts = [replace(part, split=part.split or _split_in_name(part.uri)) for part in parts]
    return Dataset(name, tuple(parts), _roots(parts[0].uri, images))


def facts_beside(dataset: Dataset) -> str:
    """Where the facts of a dataset would be: beside its first file."""
    return join(parent(dataset.parts[0].uri), FACTS_FILE)


def read_entries(dataset: Dataset, look: bool = True) -> Iterator[Entry]:
    """All pictures of a dataset, streamed; broken rows come as entries with findings.

    Without ``look`` pictures are named below the first root, whether they are there or not.
    """
    pictures = PictureFinder(dataset.roots, look)
    for part in dataset.parts:
        for entry in _read_part(dataset.format, part, pictures):
            entry.split = entry.split or part.split
            yield entry


def _read_part(format_name: str, part: Part, pictures: PictureFinder) -> Iterator[Entry]:
    if format_name == "webdataset":
        from dico.data.formats import webdataset

        yield from webdataset.read(part.uri)
        return
    with local_copy(part.uri) as path:
        for entry in _read_file(format_name, str(path), part, pictures):
            if is_remote(part.uri):
                entry.where = entry.where.replace(str(path), part.uri)
            yield entry


def _read_file(format_name: str, path: str, part: Part, pictures: PictureFinder) -> Iterator[Entry]:
    from dico.data.formats import captions_file, coco, karpathy, lines, rows, tables

    texts.require_file(path)
    match format_name:
        case "karpathy":
            return karpathy.read(path, pictures)
        case "coco":
            return coco.read(path, part.split, pictures)
        case "jsonl":
            return rows.read(lines.read_lines(path), pictures)
        case "json":
            return rows.read(lines.read_list(path), pictures)
        case "csv":
            return rows.read(tables.read_csv(path), pictures)
        case "parquet":
            return rows.read(tables.read_parquet(path), pictures)
        case _:
            return rows.read(captions_file.read(path), pictures)


def _parts_of(piece: str, format_name: str) -> list[Part]:
    name, separator, rest = piece.partition("=")
    split = SPLIT_NAMES.get(name.strip().lower(), "") if separator else ""
    uri = rest.strip() if split else piece
    if not is_remote(uri):
        uri = os.path.abspath(uri.removeprefix("file://"))
    if "{" in uri and ".tar" in uri:
        return [Part(one, split) for one in _braces(uri)]
    if is_remote(uri) and uri.lower().endswith(DATA_SUFFIXES):
        return [Part(uri, split)]
    if not is_remote(uri) and not os.path.isdir(uri):
        texts.require_file(uri)
        return [Part(uri, split)]
    return [Part(one, split or _folder_split(uri, one)) for one in _files_of(uri, format_name)]


def _files_of(folder: str, format_name: str) -> list[str]:
    """The dataset files in a folder: its tars, or its one table or captions file."""
    found = [
        uri
        for uri in list_files(folder)
        if uri.lower().endswith(DATA_SUFFIXES)
        and uri.rpartition("/")[2].lower() not in _NOT_DATASETS
        and not uri.rpartition("/")[2].startswith(".")
    ]
    kinds: dict[str, list[str]] = {}
    for uri in found:
        try:
            kinds.setdefault(_format_of(uri), []).append(uri)
        except DataError:
            continue
    if format_name:
        kinds = {format_name: kinds.get(format_name, [])}
    if sum(map(bool, kinds.values())) == 0:
        raise DataError(f"{folder}: no dataset file in it; known formats are {', '.join(FORMATS)}")
    if len(kinds) > 1:
        seen = "; ".join(f"{kind} ({uris[0].rpartition('/')[2]})" for kind, uris in kinds.items())
        raise UsageError(
            f"{folder}: ambiguous, it looks like {seen}; name one file, or say with --format"
        )
    (kind, uris), *_ = kinds.items()
    if kind == "coco" and any("caption" in uri.rpartition("/")[2].lower() for uri in uris):
        uris = [uri for uri in uris if "caption" in uri.rpartition("/")[2].lower()]
    if len(uris) > 1 and kind not in ("webdataset", "coco", "parquet") and not _all_split(uris):
        names = ", ".join(uri.rpartition("/")[2] for uri in uris[:4])
        raise UsageError(f"{folder}: ambiguous, it has several {kind} files ({names}); name one")
    return uris


def _format_of(uri: str) -> str:
    name = uri.lower()
    if name.endswith(".tar"):
        return "webdataset"
    if name.endswith(".parquet"):
        return "parquet"
    if name.endswith(_TABLE_SUFFIXES):
        return "csv"
    if name.endswith(_LINES_SUFFIXES):
        return "jsonl"
    with local_copy(uri) as path:
        text = texts.head(str(path))
    if name.endswith(_JSON_SUFFIXES):
        return _json_format(uri, text)
    if name.endswith(_TEXT_SUFFIXES) and _looks_like_captions(text):
        return "captions"
    raise DataError(f"{uri}: of no known format; known are {', '.join(FORMATS)}")


def _json_format(uri: str, text: str) -> str:
    """Tells JSON kinds by the keys at the head of the file."""
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith("["):
        return "json"
    if not start.startswith("{"):
        raise DataError(f"{uri}: not JSON, though its name says so")
    if re.search(r'"(sentences|sentids)"\s*:', text):
        return "karpathy"
    if re.search(r'"(annotations|coco_url|file_name)"\s*:', text):
        return "coco"
    first, _, rest = start.partition("\n")
    alone = first.rstrip().endswith("}") and (not rest.strip() or rest.lstrip().startswith("{"))
    if alone and any(f'"{key}"' in first for key in IMAGE_KEYS):
        return "jsonl"
    if re.search(r'"images"\s*:\s*\[\s*\]', text):
        raise DataError(f"{uri}: the dataset has no pictures: its list of images is empty")
    if re.search(r'"images"\s*:', text):
        raise UsageError(
            f"{uri}: looks like karpathy or coco, and its first images tell neither; use --format"
        )
    raise DataError(f"{uri}: JSON of no known kind; known formats are {', '.join(FORMATS)}")


def _looks_like_captions(text: str) -> bool:
    lines = [line for line in text.splitlines()[:20] if line.strip()]
    pattern = re.compile(r"^\S.*\.(jpe?g|png|webp|gif|bmp|tiff?)(#\d+)?\s*[\t,|]", re.IGNORECASE)
    return bool(lines) and sum(bool(pattern.match(line)) for line in lines) >= len(lines) / 2


def _split_in_name(uri: str) -> str:
    words = re.findall(r"[a-z]+", uri.rpartition("/")[2].lower())
    found = {SPLIT_NAMES[word] for word in words if SPLIT_NAMES.get(word)}
    return found.pop() if len(found) == 1 else ""


def _folder_split(folder: str, uri: str) -> str:
    inside = uri.removeprefix(folder)
    words = {w for w in re.findall(r"[a-z]+", inside.lower()) if SPLIT_NAMES.get(w)}
    found = {SPLIT_NAMES[word] for word in words}
    return found.pop() if len(found) == 1 else ""


def _all_split(uris: list[str]) -> bool:
    splits = [_split_in_name(uri) for uri in uris]
    return all(splits) and len(set(splits)) == len(splits)


def _roots(uri: str, images: str) -> tuple[str, ...]:
    if images:
        roots = [one.strip() for one in images.split(",")]
        roots = [one if is_remote(one) else os.path.abspath(one) for one in roots]
    else:
        folder = parent(uri)
        above = parent(folder)
        roots = [
            folder,
            join(folder, "images"),
            join(folder, "Images"),
            above,
            join(above, "images"),
        ]
    if is_remote(roots[0]):
        return tuple(roots[:1])
    return tuple(dict.fromkeys([*roots, *_picture_folders(roots)]))


def _picture_folders(roots: list[str]) -> Iterator[str]:
    """Folders just below the roots, such as COCO's train2017, that hold pictures."""
    for root in roots:
        if not os.path.isdir(root):
            continue
        for name in sorted(os.listdir(root))[:1000]:
            folder = os.path.join(root, name)
            if os.path.isdir(folder) and _has_picture(folder):
                yield folder


def _has_picture(folder: str) -> bool:
    with os.scandir(folder) as listing:
        for _, item in zip(range(20), listing, strict=False):
            if PurePosixPath(item.name).suffix.lower() in PICTURE_SUFFIXES:
                return True
    return False


def _braces(uri: str) -> list[str]:
    """Expands ``shard-{000..010}.tar``."""
    match = re.fullmatch(r"(.*)\{(\d+)\.\.(\d+)\}(.*)", uri)
    if not match:
        raise UsageError(f"{uri}: braces are read as {{000..010}}")
    before, low, high, after = match.groups()
    return [f"{before}{n:0{len(low)}d}{after}" for n in range(int(low), int(high) + 1)]
