"""A folder's digests.json: the SHA-256 and size of each file, written last and checked before use.

No checkpoint format notices a flipped bit by itself; this does.
"""

import hashlib
import json
from pathlib import Path

from dico.errors import DataError, DigestError
from dico.storage.files import atomic_write, sha256_file

DIGESTS = "digests.json"
FORMAT = 1


def write_digests(folder: str | Path) -> str:
    """Writes ``digests.json`` over all files of ``folder``; returns the folder's own digest.

    The folder's digest is the SHA-256 of the bytes of ``digests.json``. A folder whose digests are
    right already is only read, so that it may be published while others use it.
    """
    folder = Path(folder)
    files = {
        path.relative_to(folder).as_posix(): {
            "sha256": sha256_file(path),
            "bytes": path.stat().st_size,
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).as_posix() != DIGESTS
    }
    data = json.dumps({"format": FORMAT, "files": files}, indent=1, sort_keys=True).encode()
    path = folder / DIGESTS
    if not path.is_file() or path.read_bytes() != data:
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def verify_digests(folder: str | Path, digest: str = "") -> None:
    """Checks every file of ``folder`` against its ``digests.json``.

    Args:
        folder: a folder written with `write_digests`.
        digest: the folder's own digest, when it is known from elsewhere.

    Raises:
        DigestError: a file is missing, added, or not the bytes that were written; it is named.
        DataError: ``digests.json`` is missing or unreadable.
    """
    folder = Path(folder)
    if digest and sha256_file(folder / DIGESTS) != digest:
        raise DigestError(
            f"{folder / DIGESTS}: not the version that is expected here; fetch the folder again"
        )
    files = read_digests(folder)
    for name, entry in files.items():
        path = folder / name
        if not path.is_file():
            raise DigestError(
                f"{path}: missing, though listed in {DIGESTS}; fetch the folder again"
            )
        if path.stat().st_size != entry["bytes"] or sha256_file(path) != entry["sha256"]:
            raise DigestError(f"{path}: its bytes changed since it was written; fetch it again")
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != DIGESTS and name not in files:
            raise DigestError(
                f"{path}: not listed in {DIGESTS}; remove it or fetch the folder again"
            )


def folder_digest(folder: str | Path) -> str:
    """The digest of a folder written with `write_digests`; raises as `read_digests` does."""
    read_digests(folder)
    return sha256_file(Path(folder) / DIGESTS)


def read_digests(folder: str | Path) -> dict[str, dict[str, str | int]]:
    """The entries of ``digests.json``: relative path to ``{"sha256", "bytes"}``."""
    path = Path(folder) / DIGESTS
    if not Path(folder).is_dir():
        raise DataError(f"{folder}: no such folder")
    if not path.is_file():
        raise DataError(f"{path}: missing, so {folder} cannot be checked; write or fetch it again")
    return parse_digests(path.read_bytes(), str(path))


def parse_digests(data: bytes, where: str) -> dict[str, dict[str, str | int]]:
    """Reads the bytes of a ``digests.json``; names that leave the folder are refused."""
    try:
        content = json.loads(data)
        files: dict[str, dict[str, str | int]] = {
            str(name): {"sha256": str(entry["sha256"]), "bytes": int(entry["bytes"])}
            for name, entry in content["files"].items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DigestError(
            f"{where}: not a list of digests ({type(error).__name__}: {error})"
        ) from None
    if content.get("format") != FORMAT:
        raise DataError(
            f"{where}: format {content.get('format')!r}, and this version of dico reads {FORMAT}"
        )
    for name in files:
        if name.startswith("/") or ".." in Path(name).parts or "\\" in name:
            raise DigestError(f"{where}: {name!r} points outside its folder")
    return files
