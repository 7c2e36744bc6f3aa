"""Opens a dataset's text file: UTF-8 or UTF-16, packed or not, told by its first bytes.

Bytes that are not UTF-8 become visible, not lost.
"""

import gzip
import os
import stat
from contextlib import AbstractContextManager
from typing import IO, cast

from dico.errors import DataError

_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_UTF8_MARK = b"\xef\xbb\xbf"


def open_text(path: str) -> AbstractContextManager[IO[str]]:
    """Opens a local text file; bytes that are not UTF-8 become lone surrogates, found later."""
    begin = first_bytes(path, 2)
    if begin == _GZIP:
        return cast(
            IO[str],
            gzip.open(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline=""),
        )
    encoding = "utf-16" if begin in _UTF16 else "utf-8-sig"
    errors = "replace" if encoding == "utf-16" else "surrogateescape"
    return open(path, encoding=encoding, errors=errors, newline="")


def decoded(data: bytes) -> str:
    """The text of a small file's bytes, by the rules of `open_text`."""
    if data[:2] in _UTF16:
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "surrogateescape")


def first_bytes(path: str, num_bytes: int) -> bytes:
    """The first bytes of a local file."""
    with open(path, "rb") as file:
        return file.read(num_bytes)


def is_packed(path: str) -> bool:
    """Whether places in the text are no places in the file: gzip, or UTF-16."""
    return first_bytes(path, 2) in (_GZIP, *_UTF16)


def byte_order_mark(path: str) -> int:
    """Bytes before the text of a UTF-8 file."""
    return 3 if first_bytes(path, 3) == _UTF8_MARK else 0


def head(path: str, num_chars: int = 65_536) -> str:
    """The first characters of a text file.

    Raises:
        DataError: missing, not a regular file or unreadable.
    """
    try:
        require_file(path)
        with open_text(path) as file:
            return file.read(num_chars)
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None


def require_file(path: str) -> None:
    """Refuses what is not a regular file, without waiting on pipes."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise DataError(f"{path}: no such dataset ({error.strerror}); check the path") from None
    if not stat.S_ISREG(mode):
        raise DataError(f"{path}: not a regular file")
