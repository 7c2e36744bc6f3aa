"""The dataset's files in a folder: one table, files that share it by split, shards, or sidecars."""

import json
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from dico.data.entries import split_in_name
from dico.data.formats import texts
from dico.data.formats.columns import Columns
from dico.data.formats.dataset import FORMATS, Part
from dico.data.formats.recognise import DATA_SUFFIXES, format_of
from dico.data.formats.samples import is_about, is_left_behind, stem_of
from dico.data.formats.sidecar import is_sidecar, without_folder
from dico.data.formats.split_lists import is_split_list
from dico.errors import DataError, UsageError
from dico.facts import FACTS_FILE
from dico.storage.uris import is_image_name, is_remote, list_files, parent

SHARDED = ("webdataset", "parquet", "arrow")
_NOT_DATASETS = (
    FACTS_FILE,
    "digests.json",
    "dataset_dict.json",
    "dataset_infos.json",
    "state.json",
    "requirements.txt",
    "package.json",
    "config.json",
)
_CACHED = re.compile(r"(?:cache-[0-9a-z]+|tmp\w*)(?:_\d+_of_\d+)?\.arrow")
_MAX_CANDIDATES = 2_000
_MAX_TEXTS, _HEAD_CHARS = 20, 1 << 20


def parts_in(folder: str, format_name: str, columns: Columns) -> list[Part]:
    """The files of the dataset in ``folder``, each with the split that its path tells.

    Raises:
        DataError: there are none.
        UsageError: there are several that may be meant.
    """
    files = list_files(folder)
    if format_name == "sidecar" or (not format_name and _only_sidecars(files)):
        return [Part(folder)]
    kinds = _by_format(_candidates(files), format_name, columns)
    if not kinds:
        raise DataError(_nothing(folder, files))
    kinds = _without_companions(kinds)
    if len(kinds) > 1:
        seen = "; ".join(f"{kind} ({_below(folder, u[0])})" for kind, u in kinds.items())
        raise UsageError(
            f"{folder}: ambiguous, it looks like {seen}; name one file, or say with --format"
        )
    (kind, uris), *_ = kinds.items()
    uris = _chosen(kind, uris)
    if len(uris) > 1 and kind not in (*SHARDED, "coco") and not _share(folder, uris):
        names = ", ".join(_below(folder, uri) for uri in uris[:4])
        raise UsageError(f"{folder}: ambiguous, it has several {kind} files ({names}); name one")
    return [Part(uri, split_in_name(_below(folder, uri))) for uri in uris]


def _candidates(files: Sequence[str]) -> list[str]:
    found = []
    for uri in files:
        name = uri.rpartition("/")[2]
        if not name.lower().endswith(DATA_SUFFIXES) or name.lower() in _NOT_DATASETS:
            continue
        if not is_left_behind(uri) and not is_about(uri):
            found.append(uri)
    return found


def _only_sidecars(files: Sequence[str]) -> bool:
    """Whether texts lie beside images and nothing else in the folder could be the dataset."""
    images = {stem_of(without_folder(uri)) for uri in files if is_image_name(uri)}
    others = [uri for uri in _candidates(files) if stem_of(without_folder(uri)) not in images]
    return is_sidecar(files) and not any(not uri.endswith((".txt", ".parquet")) for uri in others)


def _by_format(uris: list[str], format_name: str, columns: Columns) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    if format_name and len(uris) == 1:
        return {format_name: uris}
    for uri in uris[:_MAX_CANDIDATES] if not format_name else uris:
        try:
            if is_split_list(uri):
                continue
            kinds.setdefault(format_of(uri, columns), []).append(uri)
        except (DataError, UsageError):
            if len(uris) == 1:
                raise
    if format_name:
        return {format_name: kinds[format_name]} if kinds.get(format_name) else {}
    return kinds


def _without_companions(kinds: dict[str, list[str]]) -> dict[str, list[str]]:
    """Leaves out the tables that img2dataset writes beside its shards of the same names."""
    if "webdataset" not in kinds:
        return kinds
    shards = {PurePosixPath(uri).stem for uri in kinds["webdataset"]}
    kept = {}
    for kind, uris in kinds.items():
        own = [
            u for u in uris if kind == "webdataset" or _stem(u).removesuffix("_stats") not in shards
        ]
        if own:
            kept[kind] = own
    return kept


def _stem(uri: str) -> str:
    return uri.rpartition("/")[2].partition(".")[0]


def _chosen(kind: str, uris: list[str]) -> list[str]:
    """Of several files of one format those that are meant by their names."""
    if kind == "arrow":
        own = [uri for uri in uris if _is_written(uri)]
        return own or uris
    if kind == "coco" and any("caption" in _base(uri) for uri in uris):
        return [uri for uri in uris if "caption" in _base(uri)]
    if kind == "captions" and len(uris) > 1:
        plain = [
            uri for uri in uris if ".lemma" not in _base(uri) and "annotations" not in _base(uri)
        ]
        return plain or uris
    return uris


def _is_written(uri: str) -> bool:
    """Whether an Arrow file is its dataset's own, not a cache or what an earlier saving left."""
    name = uri.rpartition("/")[2]
    try:
        state = json.loads(Path(parent(uri), "state.json").read_text(encoding="utf-8"))
        listed = [one["filename"] for one in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return not _CACHED.fullmatch(name)
    return not listed or name in listed


def _base(uri: str) -> str:
    return uri.rpartition("/")[2].lower()


def _below(folder: str, uri: str) -> str:
    return uri.removeprefix(folder).lstrip("/")


def _share(folder: str, uris: Sequence[str]) -> bool:
    """Whether files share a dataset: each of another split, or of one name in several folders."""
    splits = [split_in_name(_below(folder, uri)) for uri in uris]
    one_name = len({_base(uri) for uri in uris}) == 1
    in_folders = len({parent(uri) for uri in uris}) == len(uris)
    return (all(splits) and len(set(splits)) == len(splits)) or (one_name and in_folders)


def _aligned(folder: str, files: Sequence[str]) -> str:
    """What to do with two texts of which one names images a line and the other has as many lines."""
    lines: dict[str, list[str]] = {}
    for uri in files:
        if uri.lower().endswith(".txt") and not is_remote(uri) and len(lines) < _MAX_TEXTS:
            text = texts.head(uri, _HEAD_CHARS)
            lines[_below(folder, uri)] = text.splitlines()
    for names, named in lines.items():
        if not named or not all(is_image_name(line.strip()) for line in named):
            continue
        for captions, said in lines.items():
            if captions != names and len(said) == len(named) and any(" " in one for one in said):
                return (
                    f"{captions} has a caption a line, for the images of {names}: join them to a "
                    f"table by `paste {names} {captions} > captions.tsv`, and name that"
                )
    return ""


def _nothing(folder: str, files: Sequence[str]) -> str:
    """What a folder without a dataset looks like."""
    images = [uri for uri in files if is_image_name(uri)]
    if aligned := _aligned(folder, files):
        return f"{folder}: {aligned}"
    if images:
        folders = sorted({_below(folder, parent(uri)) for uri in images} - {""})
        where = f" in folders such as {', '.join(folders[:3])}" if folders else ""
        others = [uri for uri in files if not is_image_name(uri) and not is_left_behind(uri)]
        seen = f"; of no known format: {', '.join(_below(folder, u) for u in others[:3])}"
        told = seen if others else ""
        return f"{folder}: {len(images)} images{where}, and no captions for them{told}"
    if any(re.search(r"\.(zip|7z|rar|tgz|tar\.gz)$", uri.lower()) for uri in files):
        return f"{folder}: only packed archives in it; unpack them"
    return f"{folder}: no dataset file in it; known formats are {', '.join(FORMATS)}"
