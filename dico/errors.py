"""Every error that dico raises on purpose, as one tree with its exit codes.

DicoError                70  something inside dico went wrong
 +- UsageError            2  a command was called wrongly
 |   +- ConfigError       2  a setting is unknown, of the wrong type or out of range
 +- DataError            65  a dataset, image, caption or stored file is not what it should be
 |   +- DigestError      65  stored bytes are not the bytes that were written
 +- NonFiniteError       70  a loss or gradient became NaN or infinite
 +- StorageError         74  reading or writing failed, or there is no space
 +- TryAgainError        75  the same command will do later (preempted, transient fault)
 +- AccessError          77  a permission or credential is missing

Each message is one line: what is wrong, where, and how to fix it.
"""

import os
import re

_TOLD = re.compile(r"\(os error (\d+)\)")


class DicoError(Exception):
    """Base of all errors raised on purpose; ``exit_code`` is the process's exit status."""

    exit_code = 70


class UsageError(DicoError):
    """A command was called wrongly."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting is unknown, of the wrong type or out of range."""


class DataError(DicoError):
    """A dataset, image, caption or stored file is not what it should be."""

    exit_code = 65


class DigestError(DataError):
    """Stored bytes are not the bytes that were written."""


class NonFiniteError(DicoError):
    """A loss or a gradient became NaN or infinite."""


class StorageError(DicoError):
    """Reading or writing failed, or there is no space left."""

    exit_code = 74


class TryAgainError(DicoError):
    """The same command will do later: preempted, or a transient fault."""

    exit_code = 75


class AccessError(DicoError):
    """A permission or a credential is missing."""

    exit_code = 77


def one_line(error: BaseException, most_characters: int = 200) -> str:
    """The text of another library's error on one line, cut where it is long."""
    return " ".join(str(error).split())[:most_characters]


def system_error(error: BaseException) -> OSError | None:
    """The operating system's error behind ``error``: itself, or what safetensors tells of it.

    safetensors has an error of its own for a full disk, with the number in its text.
    """
    if isinstance(error, OSError):
        return error
    told = _TOLD.search(str(error)) if type(error).__name__ == "SafetensorError" else None
    return OSError(int(told[1]), os.strerror(int(told[1]))) if told else None
