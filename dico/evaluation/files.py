"""Captions and references from the files people keep them in, with errors that name the ids.

Both are read by the readers of datasets, so that validation and evaluation see one thing: COCO
results, COCO or Karpathy JSON, {id: captions}, JSON lines, CSV and every other format of docs/data.md.
An image may go by several names (a Karpathy image by cocoid, imgid, filename or its path); the names
that the captions use are the ids. Objects: {id: [names]} or COCO instances.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dico.data.entries import SPLIT_NAMES, Entry
from dico.data.formats import Columns, read_entries
from dico.data.formats.columns import KNOWN_NAMES
from dico.data.formats.detect import of_file
from dico.data.formats.reading import Reading
from dico.errors import DataError, UsageError
from dico.metrics.scores import name_some
from dico.storage.uris import is_image_name

_HARMLESS = ("row_repaired", "positives_malformed", "split_unknown", "image_two_ids")
_COCO_NUMBER = re.compile(r"(?:COCO_[a-z]+\d{4}_)?0*(\d+)")
_FILE_KEYS = ("image", "file_name", "filename", "filepath", "name")


@dataclass(frozen=True, slots=True)
class References:
    """What people say about images."""

    captions: dict[str, list[str]]
    """{image id: captions}."""
    excluded: list[str] = field(default_factory=list)
    """Images all of whose captions their dataset marks as unusable; they are not in ``captions``."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Captions that do not count, by the code of the reason."""

    def num_repeated(self) -> int:
        """Images that have one reference twice."""
        return sum(len(set(texts)) < len(texts) for texts in self.captions.values())


def read_captions(path: str | Path, columns: Columns = KNOWN_NAMES) -> dict[str, str]:
    """{image id: caption}, ids as text, in the file's order.

    Args:
        path: the file.
        columns: the columns that the user names.

    Raises:
        DataError: not such a file, an id twice, a caption that is not text.
    """
    format_name, entries = _read(path, replace(columns, role="system"))
    if format_name in ("coco", "karpathy"):
        raise DataError(f"{path}: looks like references; a system has one caption per image")
    for entry in entries:
        if not entry.image_id:
            raise DataError(f'{path}: no "image_id" in {entry.where.rpartition("/")[2]}')
    _refuse_twice([entry.image_id for entry in entries], str(path))
    _refuse_twice([e.image_id for e in entries for _ in range(e.num_rows)], str(path))
    _check_ids([entry.image_id for entry in entries], str(path))
    lacking = [entry.image_id for entry in entries if not entry.captions]
    if lacking:
        raise DataError(f'{path}: no "caption" for {name_some(lacking)}')
    wrong = [entry.image_id for entry in entries if not all(map(_is_text, entry.captions))]
    if wrong:
        raise DataError(f"{path}: captions that are not text: {name_some(wrong)}")
    several = [entry.image_id for entry in entries if len(entry.captions) > 1]
    if several:
        raise DataError(
            f"{path}: several captions for {name_some(several)}; a system has one per image"
        )
    if not entries:
        raise DataError(f"{path}: holds no caption")
    return {entry.image_id: entry.captions[0] for entry in entries}


def read_references(
    path: str | Path,
    wanted: Collection[str] = (),
    split: str = "",
    columns: Columns = KNOWN_NAMES,
) -> dict[str, list[str]]:
    """The captions of `read_truth`."""
    return read_truth(path, wanted, split, columns).captions


def read_candidates(
    path: str | Path, wanted: Collection[str] = (), columns: Columns = KNOWN_NAMES
) -> dict[str, list[str]]:
    """Several captions of each image by one captioner; arguments and errors as of `read_truth`."""
    return read_truth(path, wanted, "", replace(columns, role="system")).captions


def read_truth(
    path: str | Path,
    wanted: Collection[str] = (),
    split: str = "",
    columns: Columns = KNOWN_NAMES,
) -> References:
    """What people say about images.

    Args:
        path: the file.
        wanted: ids that the captions use; decides by which name images go.
        split: of a file that has splits; empty for ``test``, or for all images where none is of it.
        columns: the columns that the user names.

    Raises:
        DataError: not such a file, an id twice, captions that are not texts, no such split.
        UsageError: a split is asked of a file that has none.
    """
    _, entries = _read(path, replace(columns, role=columns.role or "references"))
    every = entries
    entries = _of_split(entries, split, str(path))
    ids = ids_of(entries, wanted)
    if len(entries) < len(every) and wanted and set(wanted).isdisjoint(ids):
        raise DataError(
            f"{path}: the captions are of none of the {len(entries)} images of split "
            f"{entries[0].split}; --split names another"
        )
    if not entries:
        raise DataError(f"{path}: holds no references")
    nameless = [e.where.rpartition("/")[2] for e, i in zip(entries, ids, strict=True) if not i]
    if nameless:
        raise DataError(f"{path}: no id for {name_some(nameless)}")
    _refuse_twice(ids, str(path))
    _check_ids(ids, str(path))
    wrong = [i for e, i in zip(entries, ids, strict=True) if not all(map(_is_text, e.captions))]
    if wrong:
        raise DataError(f"{path}: captions that are not text: {name_some(wrong)}")
    excluded = [i for e, i in zip(entries, ids, strict=True) if e.left_out and not e.captions]
    found = {i: list(e.captions) for e, i in zip(entries, ids, strict=True) if i not in excluded}
    return References(found, excluded, Counter(c for e in entries for c, _ in e.left_out))


def read_training_captions(path: str | Path, columns: Columns = KNOWN_NAMES) -> list[str]:
    """The captions of the training split, or all where a file has no such split."""
    _, entries = _read(path, replace(columns, role="references"))
    own = [entry for entry in entries if entry.split == "train"] or entries
    return [text for entry in own for text in entry.captions if _is_text(text)]


def require_columns(paths: Sequence[str | Path], columns: Columns) -> None:
    """Refuses columns that the user names and none of the files has.

    Raises:
        UsageError: there is such a column.
    """
    lacking, seen = [], set[str]()
    for path in paths:
        readings: list[Reading] = []
        dataset = of_file(str(path), "", columns)
        for _ in read_entries(dataset, False, captions_only=True, readings=readings):
            pass
        lacking.append({column for reading in readings for column in reading.lacking()})
        seen.update(column for reading in readings for shape in reading.shapes for column in shape)
    for column in sorted(set[str].intersection(*lacking)):
        names = ", ".join(map(str, paths))
        raise UsageError(
            f"no row of {names} has the column {column}, but {name_some(sorted(seen))}"
        )


def read_objects(path: str | Path, wanted: Collection[str] = ()) -> dict[str, list[str]]:
    """{image id: names of the objects in the image}.

    Args:
        path: {id: [names]}, or COCO instances JSON.
        wanted: ids that the captions use; decides by which name images go.

    Raises:
        DataError: neither of them.
    """
    try:
        data = json.loads(Path(path).read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {str(error)[:100]}") from None
    if isinstance(data, dict) and isinstance(data.get("annotations"), list):
        return _of_instances(data, str(path), wanted)
    if not isinstance(data, dict) or not all(map(_is_texts, data.values())):
        raise DataError(f"{path}: neither {{id: [names of objects]}} nor COCO instances")
    return {str(image_id): names for image_id, names in data.items()}


def write_captions(captions: Mapping[str, str], path: str | Path) -> None:
    """Writes captions as JSON lines."""
    from dico.storage import atomic_write

    lines = (json.dumps({"image_id": i, "caption": c}) for i, c in captions.items())
    with atomic_write(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines))


def ids_of(entries: Sequence[Entry], wanted: Collection[str]) -> list[str]:
    """Each entry's id: of the names that an image has those which ``wanted`` uses most.

    Where it uses none of them as they stand, names agree of which one lacks a folder or the suffix,
    or has COCO's number in another form (``COCO_val2014_000000000042.jpg``, ``42``).
    """
    kinds = [_names(entry) for entry in entries]
    for form in (str, _base, _stem, _number):
        known = {form(name): name for name in wanted}
        overlap = Counter(k for names in kinds for k, name in names.items() if form(name) in known)
        if not overlap or len(known) < len(set(wanted)):
            continue
        best = max(overlap, key=lambda kind: (overlap[kind], kind == ""))
        named = [names.get(best, names[""]) for names in kinds]
        ids = [known.get(form(name), name) for name in named]
        whole = [names.get(best.partition("/")[0], names[""]) for names in kinds]
        ids = [one if _agree(one, name) else name for one, name in zip(ids, whole, strict=True)]
        if form is str or len(set(ids)) == len(ids):
            return ids
    return [entry.image_id for entry in entries]


def _agree(one: str, other: str) -> bool:
    """Whether two names of a file may be of one folder: one has none, or ends the other."""
    folders = [f"/{name}".replace("\\", "/").rpartition("/")[0] for name in (one, other)]
    short, long = sorted(folders, key=len)
    return long.endswith(short)


def _base(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _stem(name: str) -> str:
    base = _base(name)
    return base.rpartition(".")[0] if is_image_name(base) else base


def _number(name: str) -> str:
    """COCO's number of an image without the zeros before it; any other name as `_stem` has it."""
    match = _COCO_NUMBER.fullmatch(_stem(name))
    return match[1] if match else _stem(name)


def _names(entry: Entry) -> dict[str, str]:
    """All names of an image: its id, what the dataset calls it, its file with and without suffix."""
    names = {"": entry.image_id, **entry.names}
    for key in _FILE_KEYS:
        if key in entry.names:
            base = entry.names[key].rpartition("/")[2]
            names |= {f"{key}/base": base, f"{key}/stem": base.rpartition(".")[0] or base}
    return names


def read_with_images(
    path: str | Path, images: str | Path, columns: Columns = KNOWN_NAMES
) -> list[Entry]:
    """The entries of a file with their images, looked for in ``images`` and all folders below."""
    return _read(path, columns, str(images))[1]


def _read(path: str | Path, columns: Columns, images: str = "") -> tuple[str, list[Entry]]:
    """A file's format and its entries, none of which is broken.

    Of several files the user's columns are those of one: where they hold no caption, known names count.
    """
    if not Path(path).exists():
        raise DataError(f"{path}: no such file")
    dataset = of_file(str(path), images, columns)
    entries = list(read_entries(dataset, check_exists=bool(images), captions_only=True, deep=True))
    named = columns.image or columns.captions
    if named and not any(entry.captions or entry.left_out for entry in entries):
        return _read(path, Columns(role=columns.role), images)
    for entry in entries:
        for code, detail in entry.findings:
            if code == "json_duplicate_key":
                raise DataError(f"{path}: more than once: {detail}")
            if not code.startswith("image_") and code not in _HARMLESS:
                raise DataError(f"{entry.where}: {detail}")
    return dataset.format, entries


def _of_split(entries: list[Entry], split: str, where: str) -> list[Entry]:
    splits = {entry.split for entry in entries} - {""}
    if not split:
        return [e for e in entries if e.split == "test"] if "test" in splits else entries
    if split.lower() not in SPLIT_NAMES:
        raise UsageError(f"--split {split}: splits are train, val and test")
    if not splits:
        raise UsageError(f"--split {split}: {where} has no splits")
    wanted = SPLIT_NAMES[split.lower()]
    if wanted not in splits:
        raise DataError(f"{where}: no image of split {split!r}, only {', '.join(sorted(splits))}")
    return [entry for entry in entries if entry.split == wanted]


def _of_instances(
    data: dict[str, Any], where: str, wanted: Collection[str]
) -> dict[str, list[str]]:
    try:
        names = {category["id"]: str(category["name"]) for category in data["categories"]}
        found: dict[str, list[str]] = {str(image["id"]): [] for image in data["images"]}
        for annotation in data["annotations"]:
            own = found.setdefault(str(annotation["image_id"]), [])
            own.append(names[annotation["category_id"]])
        files = {str(image["id"]): str(image.get("file_name", "")) for image in data["images"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{where}: not COCO instances: {error!r}") from None
    if set(wanted).isdisjoint(found):
        by_name = {files.get(image_id, ""): own for image_id, own in found.items()}
        return found if set(wanted).isdisjoint(by_name) else by_name
    return found


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_text(value: Any) -> bool:
    """Whether it is text that can be written: half a surrogate pair cannot."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _check_ids(ids: Iterable[str], where: str) -> None:
    wrong = [ascii(image_id) for image_id in ids if not _is_text(image_id)]
    if wrong:
        raise DataError(f"{where}: ids that are not text: {name_some(wrong)}")


def _refuse_twice(ids: Sequence[str], where: str) -> None:
    twice = [image_id for image_id, count in Counter(ids).items() if count > 1]
    if twice:
        raise DataError(f"{where}: more than once: {name_some(twice)}; keep one row of each")
