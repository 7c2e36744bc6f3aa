"""Files and folders that are either whole or absent, whatever dies in between.

Written beside the target, flushed to the disk, renamed over it, and the folder flushed: after a
SIGKILL, a full disk or a power cut a reader finds the previous content or the new one.
"""

import contextlib
import ctypes
import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dico.errors import AccessError, DicoError, StorageError, system_error
from dico.process.activity import DATA, activity

CHUNK_BYTES = 1 << 20
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; what is written there becomes ``path`` at the end.

    When the block raises, ``path`` keeps its previous content and the temporary file is removed.

    Raises:
        StorageError: no space, an I/O error, or the block wrote nothing.
        AccessError: the folder's owner or mode forbids it.
    """
    path = Path(path)
    temporary = beside(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            flush(temporary)
            os.replace(temporary, path)
            flush(path.parent)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yields an empty temporary folder that becomes ``path`` at the end, replacing what was there.

    Raises:
        StorageError: no space or an I/O error.
        AccessError: the parent folder may not be written.
    """
    path = Path(path)
    temporary = beside(path)
    with storage_errors(path):
        temporary.mkdir(parents=True)
        try:
            yield temporary
            _flush_tree(temporary)
            _swap_in(temporary, path)
            flush(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@activity(DATA)
def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with storage_errors(path), open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def require_space(folder: str | Path, num_bytes: int) -> None:
    """Refuses to start work that needs more space than the disk of ``folder`` has.

    Raises:
        StorageError: fewer than ``num_bytes`` bytes are free.
    """
    folder = Path(folder)
    existing = next(p for p in [folder, *folder.absolute().parents] if p.exists())
    free = shutil.disk_usage(existing).free
    if free < num_bytes:
        raise StorageError(
            f"{folder}: {num_bytes / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB are free; "
            "make space or choose another folder"
        )


@contextmanager
def storage_errors(where: object) -> Iterator[None]:
    """Turns the operating system's errors into dico's, naming ``where``."""
    try:
        yield
    except DicoError:
        raise
    except Exception as error:
        found = system_error(error)
        if found is None:
            raise
        if isinstance(found, PermissionError):
            raise AccessError(
                f"{where}: permission denied ({found.strerror}); check its owner and mode"
            ) from error
        if found.errno == errno.EROFS:
            raise StorageError(
                f"{where}: the file system is read-only; choose another folder"
            ) from error
        raise StorageError(f"{where}: {found.strerror or found}") from error


def beside(path: Path) -> Path:
    """A new hidden name in the folder of ``path``."""
    return path.parent / f".{path.name}.{uuid.uuid4().hex[:12]}.tmp"


def flush(path: Path) -> None:
    """Waits until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            flush(Path(parent) / name)
        flush(Path(parent))


def _swap_in(new: Path, path: Path) -> None:
    if not path.exists():
        os.rename(new, path)
    elif not _exchange(new, path):
        old = beside(path)
        os.rename(path, old)
        os.rename(new, path)
        shutil.rmtree(old, ignore_errors=True)


def _exchange(a: Path, b: Path) -> bool:
    """Swaps two paths in one atomic call; False where the file system has none."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    done = renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE)
    return bool(done == 0)
