"""WebDataset tars: members that share a name are one sample; see `dico.data.formats.samples`.

Nothing is unpacked: images are named by their place in the tar. Members of a sample need not
follow each other. Samples ``0001__0`` and ``0001__1`` with the same image are one image with two
captions, as one sample a caption is written.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from dico.data.entries import Entry
from dico.data.formats import samples
from dico.data.formats.reading import Reading
from dico.data.formats.sidecar import without_folder
from dico.data.formats.texts import require_file
from dico.images.embedded import container_of, embedded_uri
from dico.images.tar_index import Member, TarError, iter_members
from dico.storage.uris import is_remote, local_copy

_NUMBERED = re.compile(r"__\d+$")


def read(reading: Reading) -> Iterator[Entry]:
    """The samples of one shard; where it breaks, the samples before it and a finding."""
    shard = reading.uri
    with local_copy(shard) as path:
        require_file(str(path))
        groups: dict[str, samples.Group] = {}
        with open(path, "rb") as file:
            for member in _tolerant(path, shard):
                if isinstance(member, Entry):
                    yield member
                elif member.problem:
                    yield _unsafe(member, shard)
                else:
                    samples.add(groups, _item(member, file, shard), reading)
            for entry in _merged(_entries(_parallel(groups), shard, reading), file):
                if is_remote(shard) and entry.uri:
                    entry.image_bytes = _bytes(entry.uri, file)
                yield entry


def _parallel(groups: dict[str, samples.Group]) -> dict[str, samples.Group]:
    """Groups by name alone, where images and texts are in folders of their own."""
    found = groups.values()
    have = [any(group.images for group in found), any(group.texts for group in found)]
    if not all(have) or any(group.images and group.texts for group in found):
        return groups
    joined: dict[str, samples.Group] = {}
    for group in found:
        own = joined.setdefault(key := without_folder(group.key), samples.Group(key))
        own.images += group.images
        own.texts += group.texts
    return joined


def _entries(groups: dict[str, samples.Group], shard: str, reading: Reading) -> Iterator[Entry]:
    for group in groups.values():
        yield from samples.entries(group, shard, reading)


def _merged(entries: Iterator[Entry], file: IO[bytes]) -> Iterator[Entry]:
    """Joins the numbered samples of one image; a number alone does not make them one."""
    for base, group in itertools.groupby(entries, key=lambda one: _NUMBERED.sub("", one.image_id)):
        run = list(group)
        if run[0].image_id != f"{base}__0" or not _is_one_image(run, file):
            yield from run
            continue
        first, *others = run
        first.image_id, first.num_rows = base, len(run)
        for other in others:
            first.captions += other.captions
            first.left_out += other.left_out
            first.findings += other.findings
        yield first


def _is_one_image(run: list[Entry], file: IO[bytes]) -> bool:
    if not all(entry.uri for entry in run):
        return False
    sizes = {container_of(entry.uri)[1].partition(":")[0].partition("+")[2] for entry in run}
    return len(sizes) == 1 and len({_bytes(entry.uri, file) for entry in run}) == 1


def _tolerant(path: Path, shard: str) -> Iterator[Member | Entry]:
    try:
        yield from iter_members(path)
    except TarError as error:
        yield Entry("", "", [], "", shard, [("shard_damaged", str(error))])


def _unsafe(member: Member, shard: str) -> Entry:
    detail = f"{member.name!r}: {member.problem}"[:200]
    where = f"{shard}, {member.name!r}"[:300]
    return Entry("", "", [], "", where, [("member_unsafe", detail)])


def _item(member: Member, file: IO[bytes], shard: str) -> samples.Item:
    def read() -> bytes:
        file.seek(member.offset)
        return file.read(member.num_bytes)

    uri = embedded_uri(shard, member.offset, member.num_bytes, member.name)
    return samples.Item(member.name, uri, member.num_bytes, read)


def _bytes(uri: str, file: IO[bytes]) -> bytes:
    """A member's bytes by its URI, from the open shard."""
    place = container_of(uri)[1].partition(":")[0]
    offset, _, num_bytes = place.partition("+")
    file.seek(int(offset))
    return file.read(int(num_bytes))
