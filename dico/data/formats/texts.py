"""Opens a dataset's text file: UTF-8, UTF-16 or UTF-32, packed or not, told by its first bytes.

Bytes that are not UTF-8 become visible, not lost.
"""

import gzip
import os
import stat
from contextlib import AbstractContextManager
from typing import IO, cast

from dico.errors import DataError

_GZIP = b"\x1f\x8b"
_WIDE_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_UTF8_MARK = b"\xef\xbb\xbf"


def open_text(path: str) -> AbstractContextManager[IO[str]]:
    """Opens a local text file; bytes that are not UTF-8 become lone surrogates, found later."""
    begin = first_bytes(path, 4)
    if begin.startswith(_GZIP):
        return cast(
            IO[str],
            gzip.open(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline=""),
        )
    wide = _wide_encoding(begin)
    errors = "replace" if wide else "surrogateescape"
    return open(path, encoding=wide or "utf-8-sig", errors=errors, newline="")


def _wide_encoding(begin: bytes) -> str:
    """The encoding of several bytes a character, by its mark or by the zeros between Latin letters."""
    for mark, name in _WIDE_MARKS.items():
        if begin.startswith(mark):
            return name
    zeros = [byte == 0 for byte in begin[:4]]
    if zeros == [False, True, False, True]:
        return "utf-16-le"
    return "utf-16-be" if zeros == [True, False, True, False] else ""


def decoded(data: bytes) -> str:
    """The text of a small file's bytes, by the rules of `open_text`."""
    if wide := _wide_encoding(data):
        return data.decode(wide, "replace")
    return data.decode("utf-8-sig", "surrogateescape")


def first_bytes(path: str, num_bytes: int) -> bytes:
    """The first bytes of a local file."""
    with open(path, "rb") as file:
        return file.read(num_bytes)


def is_packed(path: str) -> bool:
    """Whether places in the text are no places in the file: gzip, UTF-16 or UTF-32."""
    begin = first_bytes(path, 4)
    return begin.startswith(_GZIP) or bool(_wide_encoding(begin))


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
