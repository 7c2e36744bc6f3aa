"""Pictures inside tar shards: ``shard.tar#member`` names one, and a ranged read fetches it."""

import os

from dico.images.load import ImageError
from dico.storage import open_store, split_uri
from dico.storage.uris import is_remote

_MARK = ".tar#"


def is_member_uri(uri: str) -> bool:
    """Whether a URI names a member of a tar shard: ``PATH.tar#OFFSET+BYTES:NAME``."""
    return _MARK in uri


def member_uri(shard: str, offset: int, num_bytes: int, name: str) -> str:
    """The URI of a member whose bytes begin at ``offset`` of the shard."""
    return f"{shard}#{offset}+{num_bytes}:{name}"


def read_member(uri: str) -> bytes:
    """The bytes of a shard's member, by one ranged read.

    Raises:
        ImageError: not a member URI, or the shard is shorter than it says.
    """
    shard, _, rest = uri.rpartition(_MARK)
    place, _, _ = rest.partition(":")
    try:
        offset, num_bytes = map(int, place.split("+"))
    except ValueError:
        raise ImageError("image_missing", f"{uri}: not SHARD.tar#OFFSET+BYTES:NAME") from None
    shard += ".tar"
    if is_remote(shard):
        store, key = split_uri(shard)
        data = open_store(store).read_range(key, offset, num_bytes)
    else:
        data = _read_local(shard, offset, num_bytes)
    if len(data) != num_bytes:
        raise ImageError("image_truncated", f"{uri}: the shard ends before the picture does")
    return data


def _read_local(shard: str, offset: int, num_bytes: int) -> bytes:
    try:
        descriptor = os.open(shard, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise ImageError("image_missing", f"{shard}: {error.strerror}") from None
    with open(descriptor, "rb") as file:
        file.seek(offset)
        return file.read(num_bytes)
