"""Opens a dataset's text file: UTF-8, gzip by its name; wrong bytes become visible, not lost."""

import gzip
import os
import stat
from contextlib import AbstractContextManager
from typing import IO, cast

from dico.errors import DataError


def open_text(path: str) -> AbstractContextManager[IO[str]]:
    """Opens a local text file; bytes that are not UTF-8 become lone surrogates, found later."""
    if str(path).endswith(".gz"):
        return cast(
            IO[str],
            gzip.open(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline=""),
        )
    return open(path, encoding="utf-8-sig", errors="surrogateescape", newline="")


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
