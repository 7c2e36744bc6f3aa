"""Rows of a table as images: JSONL, a JSON list, CSV, TSV, Parquet and Arrow share this reading.

A row has an image (``image``), a caption or captions (``caption``, ``captions``, ``caption_0``,
a conversation of one question and one answer) and optionally ``split``, ``id``,
``positive_images``, ``positive_captions``. Rows with one caption each are joined by image; rows
with a list of captions stand for themselves.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from dico.data.entries import SPLIT_NAMES, Entry, normal_split
from dico.data.finder import spelling
from dico.data.formats.captions_of import captions_of, image_in_turns
from dico.data.formats.columns import (
    ID_KEYS,
    IMAGE_KEYS,
    MARKS,
    SPLIT_KEYS,
    TURN_KEYS,
    first,
    first_key,
    is_rejected,
    lookup,
    normal_key,
    normal_keys,
    numbered_images,
)
from dico.data.formats.reading import Embedded, Findings, Reading, Row
from dico.data.formats.tasks import unwrap
from dico.data.grouping import Grouping, Joined
from dico.storage.uris import is_address, is_image_name

_ALWAYS_READ = frozenset(
    (*ID_KEYS, "split", *(MARKS - {"answer"}), "positive_images", "positive_captions")
)

_IMAGE_COLUMNS = dict.fromkeys((*IMAGE_KEYS, "images"))
"""Columns of images, the most telling first."""


def read(rows: Iterator[Row], reading: Reading) -> Iterator[Entry]:
    """Entries of rows given as (where, content, findings of their reader)."""
    named = {part for path in _named(reading) for part in (path, path.partition(".")[0])}
    reading.read |= {*_ALWAYS_READ, *map(normal_key, named), *named}
    with Grouping() as grouping:
        run: Entry | None = None
        for where, row, findings in rows:
            entry, single = _entry(where, row, findings, reading)
            if entry.image_bytes is not None and single:
                if run is not None and _continues(run, entry):
                    _extend(run, entry)
                    continue
                if run is not None:
                    yield run
                run = entry
            elif single and (entry.uri or (reading.captions_only and entry.image_id)):
                _group(grouping, entry, reading)
            else:
                yield entry
        if run is not None:
            yield run
        for joined in grouping.joined():
            yield _joined(joined)


def _entry(where: str, row: Any, findings: Findings, reading: Reading) -> tuple[Entry, bool]:
    """The entry of one row, and whether the row stands for one caption of its image."""
    if row is None and findings:
        return Entry("", "", [], "", where, findings), False
    if not isinstance(row, dict):
        return _broken(where, [("row_malformed", f"not an object: {row!r}"[:200])]), False
    if not all(map(_is_normal, row)):
        normal = normal_keys(row)
        if len(normal) < len(row):
            reading.unread["columns whose name another has"] += len(row) - len(normal)
        row = normal | {key: row[key] for key in row if key in _named(reading)}
    plain = unwrap(row)
    if plain is not row:
        reading.read.add("annotations")
    row = plain
    reading.saw(row)
    captions = captions_of(row, reading, findings)
    id_key = first_key(row, ID_KEYS)
    split = _split(row, reading, findings)
    names = {key: _id_text(row[key]) for key in ID_KEYS if row.get(key) is not None}
    image = _image(row, reading)
    entry = Entry(
        image_id=names.get(id_key, ""),
        uri="",
        captions=captions.found,
        split=split,
        where=where,
        findings=findings,
        names=names,
        left_out=captions.left_out,
    )
    _place(entry, image, row, reading)
    if row.get("answer") in (
        "accept",
        "reject",
        "ignore",
    ):  # Prodigy's, and no answer to a question
        reading.read.add("answer")
    if not MARKS.isdisjoint(row) and is_rejected(row):
        entry.left_out += [("caption_rejected", caption) for caption in entry.captions]
        entry.captions = []
    if reading.columns.where and not reading.columns.choose(row):
        entry.left_out += [("caption_not_chosen", caption) for caption in entry.captions]
        entry.captions = []
    if "positive_images" in row:
        found = _texts(row, "positive_images", findings)
        entry.positive_uris = [reading.images.find([n], findings, split) for n in found]
    entry.positive_captions = _texts(row, "positive_captions", findings)
    return entry, captions.single


def _id_text(value: Any) -> str:
    """An id as text; whole numbers that a table has made 391895.0 are 391895 again."""
    text = str(value)
    return text[:-2] if text.endswith(".0") and text[:-2].isdigit() else text


def _place(entry: Entry, image: Any, row: Mapping[str, Any], reading: Reading) -> None:
    """Puts the image's URI, its name and its id into an entry."""
    split = entry.split or reading.split
    if isinstance(image, Embedded):
        entry.uri, entry.image_bytes = image.uri, image.data
        entry.image_id = entry.image_id or image.name or _name_by_place(entry.where, reading)
        if image.problem:
            entry.uri = ""
            entry.findings.append(("image_embedded", image.problem))
    elif isinstance(image, str) and (problem := _no_name(image)):
        entry.image_id = entry.image_id or _name_by_place(entry.where, reading)
        entry.findings.append(("image_embedded", f"{problem}: {image[:60]}"))
    elif isinstance(image, str):
        names = _names(image, row)
        entry.names["image"] = image
        if is_address(image) and entry.image_id:
            entry.uri = reading.images.find_id(entry.image_id, [], split)
        entry.uri = entry.uri or reading.images.find(names, entry.findings, split, entry.image_id)
        if not entry.uri:
            names = _in_a_named_folder(entry, image, row, reading) or names
        entry.image_id = entry.image_id or names[0]
    elif isinstance(image, list):
        entry.findings.append(("row_malformed", f"{len(image)} images in one row"))
    elif entry.image_id:
        entry.uri = reading.images.find_id(entry.image_id, entry.findings, split)
    told = image is not None and entry.findings
    if not entry.uri and not reading.captions_only and not told:
        entry.findings.append(("row_malformed", _no_image(entry, row)))


def _in_a_named_folder(
    entry: Entry, image: str, row: Mapping[str, Any], reading: Reading
) -> list[str]:
    """The name with its folder, where several folders have the image and one cell names one of them."""
    for folder in row.values():
        is_name = isinstance(folder, str) and folder not in ("", image)
        if is_name and (uri := reading.images.within(str(folder), image)):
            entry.uri = uri
            entry.findings[:] = [one for one in entry.findings if one[0] != "image_ambiguous"]
            return [f"{folder}/{image}"]
    return []


def _no_name(image: str) -> str:
    """Why a text is neither an image's name nor base64; empty where it may be."""
    if image.startswith("data:"):
        return "no image in base64"
    if image.startswith(("b'\\x", 'b"\\x')):
        return "bytes as Python prints them; write base64, or Parquet"
    return ""


def _name_by_place(where: str, reading: Reading) -> str:
    """A name for an image in a line of text that has none: ``photos-17``."""
    stem = reading.uri.rpartition("/")[2].partition(".")[0]
    return f"{stem}-{where.rpartition(':')[2]}"


def _no_image(entry: Entry, row: Mapping[str, Any]) -> str:
    if entry.image_id:
        return f"no image: no column names one, and none is called {entry.image_id}"
    seen = ", ".join(map(str, row))[:120]
    return f"no image in the columns {seen}; name one by --image-column"


def _image(row: Mapping[str, Any], reading: Reading) -> Any:
    """What a row says of its image: a name, an `Embedded`, a list of several, or None."""
    if reading.columns.image:
        return _one(lookup(row, reading.columns.image))
    key, found = _first_image(row)
    if found is not None:
        reading.read.update((key, "filepath"))
        return found
    numbered = numbered_images(row)
    reading.read.update(numbered)
    found = _one([row[key] for key in numbered if row[key] is not None])
    return found or _one(image_in_turns(first(row, sorted(TURN_KEYS))))


def _first_image(row: Mapping[str, Any]) -> tuple[str, Any]:
    """The first column that has an image; a file's name comes before a number or an address."""
    first_key, first_found = "", None
    present = [key for key in row if key in _IMAGE_COLUMNS]
    if len(present) > 1:
        present = [key for key in _IMAGE_COLUMNS if key in row]
    for key in present:
        is_one = key != "images" or isinstance(row.get(key), list | Embedded)
        found = _one(row.get(key)) if is_one else None
        if found is None:
            continue
        if len(present) == 1 or (first_found is None and not isinstance(found, str)):
            return key, found
        if isinstance(found, str) and is_image_name(found) and not is_address(found):
            return key, found
        if first_found is None:
            first_key, first_found = key, found
    return first_key, first_found


def _one(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, Embedded):
        return value
    if isinstance(value, dict):
        return next((_one(value[k]) for k in ("path", *IMAGE_KEYS) if value.get(k)), None)
    if isinstance(value, list) and value:
        return _one(value[0]) if len(value) == 1 else value
    return None


def _names(image: str, row: Mapping[str, Any]) -> list[str]:
    """The names to look for: with the folder that a row gives apart, as Karpathy's rows do."""
    folder = row.get("filepath")
    if isinstance(folder, str) and folder and folder != image and not image.startswith("/"):
        return [f"{folder.rstrip('/')}/{image}", image]
    return [image]


def _split(row: Mapping[str, Any], reading: Reading, findings: Findings) -> str:
    """The split of a row; once a column has named one, its other words must be splits too."""
    if row.get("split") is not None:
        return normal_split(row["split"], findings)
    for key in SPLIT_KEYS:
        value = row.get(key)
        if isinstance(value, str) and value.strip():
            if key in reading.read:
                return normal_split(value, findings)
            if split := SPLIT_NAMES.get(value.strip().lower(), ""):
                reading.read.add(key)
                return split
    return ""


def _texts(row: Mapping[str, Any], key: str, findings: Findings) -> list[str]:
    values = row.get(key)
    if values is None:
        return []
    if isinstance(values, list) and all(isinstance(v, str) for v in values):
        return values
    findings.append(("positives_malformed", f"{key} is not a list of texts"))
    return []


def _is_normal(key: object) -> bool:
    return isinstance(key, str) and key.islower() and " " not in key and "-" not in key


def _named(reading: Reading) -> tuple[str, ...]:
    chosen = (column for column, _ in reading.columns.where)
    return (reading.columns.image, *reading.columns.captions, *chosen)


def _broken(where: str, findings: Findings) -> Entry:
    return Entry("", "", [], "", where, findings)


def _continues(run: Entry, entry: Entry) -> bool:
    """Whether a row is the next caption of the image before it: tables repeat its bytes."""
    return run.image_bytes == entry.image_bytes and run.split == entry.split


def _extend(run: Entry, entry: Entry) -> None:
    run.captions += entry.captions
    run.left_out += entry.left_out
    run.findings += entry.findings
    run.num_rows += 1
    run.other_places.append(entry.where)


def _group(grouping: Grouping, entry: Entry, reading: Reading) -> None:
    kept: dict[str, Any] = {
        "image_id": entry.image_id,
        "uri": entry.uri,
        "split": entry.split,
        "where": entry.where,
        "positive_uris": entry.positive_uris,
        "positive_captions": entry.positive_captions,
    }
    if reading.captions_only or "id" in entry.names:
        kept["names"] = entry.names
    if entry.left_out:
        kept["left_out"] = entry.left_out
    if entry.names.keys() == {"image"}:
        kept["by_name"] = True
    key = entry.uri or entry.image_id
    grouping.add_image(key, kept, entry.findings)
    for caption in entry.captions:
        grouping.add_caption(key, caption, [])


def _joined(joined: Joined) -> Entry:
    """One image of several rows; rows that disagree on its id or split are a finding."""
    image, findings = joined.images[0], joined.findings
    caption_ids = _are_caption_ids(joined.images)
    named = [row.pop("by_name", False) for row in joined.images]
    if caption_ids:
        image["image_id"] = image["names"]["image"]
    for key, code in (("image_id", "image_two_ids"), ("split", "split_conflict")):
        values = sorted({str(row[key]) for row in joined.images})
        if len(values) < 2 or (key == "image_id" and caption_ids):
            continue
        if key == "split" or not all(named) or len(set(map(spelling, values))) > 1:
            findings.append((code, f"rows of one image say {', '.join(values)}"[:200]))
    left_out = [tuple(one) for row in joined.images for one in row.get("left_out", ())]
    image["left_out"], image["num_rows"] = left_out, len(joined.images)
    image["other_places"] = [row["where"] for row in joined.images[1:]]
    return Entry(captions=joined.captions, findings=findings, **image)


def _are_caption_ids(images: list[dict[str, Any]]) -> bool:
    """Whether the rows' ids are those of captions: a plain ``id``, another one in each row."""
    if len(images) < 2 or not all("image" in row.get("names", ()) for row in images):
        return False
    ids = {row["names"].get("id", "") for row in images}
    only_id = all(row["image_id"] == row["names"].get("id") for row in images)
    return only_id and len(ids) == len(images)
