"""Files that share a name are one sample: ``0001.jpg`` with ``0001.txt`` or ``0001.json``.

So are the members of WebDataset's tars, and images with texts beside them in a folder. A text has
a caption per line; JSON is a list of captions, or an object with ``captions`` (or ``caption``),
``split``, ``image_id``. What a text and a JSON of one sample both say counts once. Names with points
(``clip.frame0.jpg``) are told apart where each image has texts of its own.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dico.data.captions import is_tags, normalise_caption
from dico.data.entries import Entry, normal_split, split_in_name
from dico.data.formats.captions_of import captions_of, items_of
from dico.data.formats.cells import looks_like_list
from dico.data.formats.columns import ID_KEYS, LANGUAGE, MARKS, first, is_rejected, normal_keys
from dico.data.formats.reading import Reading
from dico.data.formats.texts import decoded
from dico.data.strict_json import JsonFinding, Parser
from dico.storage.uris import IMAGE_SUFFIXES

TEXT_SUFFIXES = (".txt", ".caption", ".text")
CAPTION_SUFFIXES = (*TEXT_SUFFIXES, ".json")
_TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
MAX_TEXT_BYTES = 4_000_000
_ALWAYS_READ = frozenset((*ID_KEYS, *MARKS, "split"))
_INNER_SUFFIX = re.compile(rf"(.+)(?:{'|'.join(map(re.escape, IMAGE_SUFFIXES))})\.", re.IGNORECASE)
_BY_THE_WAY = ("readme", "license", "licence", "dataset_info", "index", "checksums", "_stats")


@dataclass(frozen=True, slots=True)
class Item:
    """One file of a sample."""

    name: str
    """Its path in the tar or below the folder."""
    uri: str
    """The URI that a manifest keeps."""
    num_bytes: int
    """Its size."""
    read: Callable[[], bytes]
    """Reads it."""


@dataclass(slots=True)
class Group:
    """Files of one key: the name up to its first point, as the webdataset library cuts it."""

    key: str
    images: list[Item] = field(default_factory=list)
    texts: list[Item] = field(default_factory=list)


def suffix_of(name: str) -> str:
    """The last suffix of a name, in lower case, with its point."""
    return "." + name.rpartition(".")[2].lower()


def is_left_behind(name: str) -> bool:
    """Whether a file is what a system or a tool leaves: hidden, of macOS, or Excel's lock."""
    parts = name.split("/")
    return parts[-1].startswith((".", "~$")) or "__MACOSX" in parts


def is_about(name: str) -> bool:
    """Whether a text tells of the dataset and not of an image."""
    stem = name.rpartition("/")[2].rpartition(".")[0].lower()
    return any(stem == word or stem.endswith(word) for word in _BY_THE_WAY)


def key_of(name: str) -> str:
    """The path up to the first point of the name."""
    folder, slash, base = name.removeprefix("./").rpartition("/")
    return folder + slash + base.partition(".")[0]


def stem_of(name: str) -> str:
    """The path up to the last point of the name; ``0001`` for ``0001.jpg.txt`` too."""
    inner = _INNER_SUFFIX.match(name)
    return inner[1] if inner else name.rpartition(".")[0]


def add(
    groups: dict[str, Group], item: Item, reading: Reading, key_of: Callable[[str], str] = key_of
) -> None:
    """Puts a file into its group; what is neither image nor text is counted as unread."""
    suffix = suffix_of(item.name)
    if is_left_behind(item.name) or suffix not in (*IMAGE_SUFFIXES, *CAPTION_SUFFIXES):
        what = f"table {item.name}" if suffix in _TABLE_SUFFIXES else f"*{suffix}"
        reading.unread["hidden files" if is_left_behind(item.name) else what] += 1
        return
    if suffix in CAPTION_SUFFIXES and is_about(item.name):
        reading.unread[item.name.rpartition("/")[2]] += 1
        return
    key = key_of(item.name)
    group = groups.setdefault(key, Group(key))
    (group.images if suffix in IMAGE_SUFFIXES else group.texts).append(item)


def entries(group: Group, where: str, reading: Reading) -> Iterator[Entry]:
    """The images of a group, each with the texts that can only be its own."""
    if len(group.images) == 1:
        yield _entry(group.key, group.images[0], group.texts, where, reading)
        return
    if not group.images:
        entry = Entry(group.key, "", [], "", f"{where}, sample {group.key}")
        _add_texts(entry, group.texts, reading)
        entry.findings.append(("row_malformed", "a sample without an image"))
        yield entry
        return
    yield from _several(group, where, reading)


def _several(group: Group, where: str, reading: Reading) -> Iterator[Entry]:
    """Several images of one key: by their whole stems, or not at all."""
    by_stem: dict[str, Group] = {}
    for item in (*group.images, *group.texts):
        own = by_stem.setdefault(stem_of(item.name), Group(stem_of(item.name)))
        (own.images if item in group.images else own.texts).append(item)
    told = [own for own in by_stem.values() if own.images and own.texts]
    for own in by_stem.values():
        if len(own.images) == 1 and own.texts:
            yield _entry(own.key, own.images[0], own.texts, where, reading)
        elif not own.texts and told and len(own.images) == 1:
            name = own.images[0].name  # as 0001.mask.png beside 0001.jpg and 0001.txt
            reading.unread[f"image without a text of its own, such as {name}"] += 1
        else:
            names = ", ".join(item.name for item in (*own.images, *own.texts))
            entry = Entry(own.key, "", [], "", f"{where}, sample {own.key}")
            _add_texts(entry, own.texts, reading)
            what = "several images and texts of one name" if told else "no image of its own"
            entry.findings.append(("sample_ambiguous", f"{what}: {names}"[:300]))
            yield entry


def _entry(key: str, image: Item, texts: Sequence[Item], where: str, reading: Reading) -> Entry:
    folder = key.rpartition("/")[0]
    entry = Entry(key, image.uri, [], split_in_name(folder), f"{where}, sample {key}")
    entry.names["name"] = image.name
    _add_texts(entry, texts, reading)
    return entry


def _add_texts(entry: Entry, texts: Sequence[Item], reading: Reading) -> None:
    said: set[str] = set()
    marked = False
    inner = [item.name.rpartition("/")[2].split(".")[1:-1] for item in texts]
    spoken = {parts[-1] for parts in inner if parts}
    if len(spoken) > 1 and all(map(LANGUAGE.fullmatch, spoken)):
        detail = f"texts in {', '.join(sorted(spoken))}: keep those of one language"
        entry.findings.append(("sample_ambiguous", detail))
    for item in texts:
        if item.num_bytes > MAX_TEXT_BYTES:
            detail = f"{item.name}: {item.num_bytes} bytes of text"
            entry.findings.append(("row_malformed", detail))
            continue
        captions, mark = _captions(entry, item, reading)
        marked = marked or mark
        new = [c for c in captions if not isinstance(c, str) or normalise_caption(c) not in said]
        entry.left_out += [("caption_twice_in_sample", c) for c in captions if c not in new]
        said |= {normalise_caption(c) for c in captions if isinstance(c, str)}
        entry.captions += new
    _leave_out_tags(entry)
    if marked:
        entry.left_out += [("caption_rejected", caption) for caption in entry.captions]
        entry.captions = []


def _leave_out_tags(entry: Entry) -> None:
    """Where a sample has sentences and tags, as trainers of image generators keep both, tags go."""
    tags = [c for c in entry.captions if isinstance(c, str) and is_tags(c)]
    if tags and len(tags) < len(entry.captions):
        entry.left_out += [("caption_tags_beside", one) for one in tags]
        entry.captions = [c for c in entry.captions if c not in tags]


def _captions(entry: Entry, item: Item, reading: Reading) -> tuple[list[Any], bool]:
    """The captions of one file, and whether it marks its sample as unusable."""
    data = item.read()
    if suffix_of(item.name) == ".json":
        return _from_json(entry, data, reading)
    text = decoded(data)
    if looks_like_list(text):
        return items_of(text, entry.findings, entry.left_out), False
    return [line for line in text.splitlines() if line.strip()] or [text], False


def _from_json(entry: Entry, data: bytes, reading: Reading) -> tuple[list[Any], bool]:
    parser = Parser()
    try:
        content: Any = parser.parse(decoded(data))
    except JsonFinding as error:
        entry.findings.append((error.code, str(error)))
        return [], False
    entry.findings += [("json_duplicate_key", key) for key in parser.take_duplicate_keys()]
    if isinstance(content, dict):
        row = normal_keys(content)
        image_id = first(row, ID_KEYS)
        if image_id is not None:
            entry.image_id = str(image_id)
        entry.split = normal_split(row.get("split"), entry.findings) or entry.split
        captions = captions_of(row, reading, entry.findings)
        reading.read.update(_ALWAYS_READ)
        reading.saw(row)
        entry.left_out += captions.left_out
        return captions.found, bool(is_rejected(row))
    return items_of(content, entry.findings, entry.left_out), False
