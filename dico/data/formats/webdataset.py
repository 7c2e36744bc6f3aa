"""WebDataset tars: consecutive members of one base name are one sample, ``0001.jpg`` and ``0001.txt``.

A ``.txt`` has one caption per line; a ``.json`` is a list of captions, or an object with
``captions`` (or ``caption``), ``split``, ``image_id``. Samples ``0001__0`` and ``0001__1`` are one
picture with two captions.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from dico.data.entries import Entry, normal_split
from dico.data.formats.rows import CAPTION_KEYS, CAPTIONS_KEYS, ID_KEYS, first
from dico.data.formats.texts import require_file
from dico.data.strict_json import JsonFinding, Parser
from dico.images.tar_index import Member, TarError, iter_members
from dico.images.tars import member_uri
from dico.storage.uris import PICTURE_SUFFIXES, is_remote, local_copy

MAX_TEXT_BYTES = 4_000_000
_NUMBERED = re.compile(r"__\d+$")


def read(shard: str) -> Iterator[Entry]:
    """The samples of one shard; where it breaks, the samples before it and a finding."""
    with local_copy(shard) as path:
        require_file(str(path))
        members = _tolerant(path, shard)
        with open(path, "rb") as file:
            for key, group in itertools.groupby(members, key=_sample_key):
                yield from _sample(key, list(group), file, shard)


def _tolerant(path: Path, shard: str) -> Iterator[Member | Entry]:
    try:
        yield from iter_members(path)
    except TarError as error:
        yield Entry("", "", [], "", shard, [("shard_damaged", str(error))])


def _sample_key(member: Member | Entry) -> str:
    if isinstance(member, Entry):
        return ""
    folder, slash, name = member.name.rpartition("/")
    return folder + slash + _NUMBERED.sub("", name.partition(".")[0])


def _sample(
    key: str, members: list[Member | Entry], file: IO[bytes], shard: str
) -> Iterator[Entry]:
    entry = Entry(key, "", [], "", f"{shard}, sample {key}")
    for member in members:
        if isinstance(member, Entry):
            yield member
        elif member.problem:
            detail = f"{member.name!r}: {member.problem}"[:200]
            yield Entry(
                "", "", [], "", f"{shard}, {member.name!r}"[:300], [("member_unsafe", detail)]
            )
        else:
            _add_member(entry, member, file, shard)
    if entry.uri or entry.captions:
        if not entry.uri:
            entry.findings.append(("row_malformed", "a sample without a picture"))
        yield entry


def _add_member(entry: Entry, member: Member, file: IO[bytes], shard: str) -> None:
    suffix = "." + member.name.rpartition(".")[2].lower()
    if suffix in PICTURE_SUFFIXES:
        if not entry.uri:
            entry.uri = member_uri(shard, member.offset, member.num_bytes, member.name)
            if is_remote(shard):
                entry.image_bytes = _read(file, member)
    elif suffix in (".txt", ".json", ".caption"):
        if member.num_bytes > MAX_TEXT_BYTES:
            detail = f"{member.name}: {member.num_bytes} bytes of text"
            entry.findings.append(("row_malformed", detail))
        elif suffix == ".json":
            _add_json(entry, _read(file, member))
        else:
            text = _read(file, member).decode("utf-8", "surrogateescape")
            entry.captions += [line for line in text.splitlines() if line.strip()] or [text]


def _add_json(entry: Entry, data: bytes) -> None:
    parser = Parser()
    try:
        content: Any = parser.parse(data.decode("utf-8-sig", "surrogateescape"))
    except JsonFinding as error:
        entry.findings.append((error.code, str(error)))
        return
    entry.findings += [("json_duplicate_key", key) for key in parser.take_duplicate_keys()]
    if isinstance(content, dict):
        captions = first(content, CAPTIONS_KEYS)
        captions = first(content, CAPTION_KEYS) if captions is None else captions
        image_id = first(content, ID_KEYS)
        entry.image_id = entry.image_id if image_id is None else str(image_id)
        entry.split = normal_split(content.get("split"), entry.findings)
        content = captions
    if content is not None:
        captions = content if isinstance(content, list) else [content]
        entry.captions += [c.get("raw") if isinstance(c, dict) else c for c in captions]


def _read(file: IO[bytes], member: Member) -> bytes:
    file.seek(member.offset)
    return file.read(member.num_bytes)
