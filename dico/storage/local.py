"""A store in a folder of a local or mounted file system."""

import hashlib
import os
import shutil
from pathlib import Path, PurePosixPath

from dico.errors import ConfigError, DataError, DigestError
from dico.process.activity import DATA, activity
from dico.storage.digests import DIGESTS, verify_digests, write_digests
from dico.storage.files import (
    atomic_folder,
    atomic_write,
    beside,
    flush,
    sha256_file,
    storage_errors,
)
from dico.storage.store import Keys


class LocalStore:
    """Objects are files below ``root``; see `dico.storage.store.Store`."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()
        self.uri = str(self.root)

    @activity(DATA)
    def read_bytes(self, key: str, sha256: str = "") -> bytes:
        path = self._file(key)
        with storage_errors(path):
            data = path.read_bytes()
        if sha256 and hashlib.sha256(data).hexdigest() != sha256:
            raise DigestError(f"{path}: its bytes are not those expected; write or fetch it again")
        return data

    @activity(DATA)
    def read_range(self, key: str, start: int, num_bytes: int) -> bytes:
        path = self._file(key)
        with storage_errors(path), open(path, "rb") as file:
            file.seek(start)
            return file.read(num_bytes)

    def write_bytes(self, key: str, data: bytes) -> None:
        with atomic_write(self._path(key)) as temporary:
            temporary.write_bytes(data)

    def create(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        temporary = beside(path)
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_bytes(data)
                flush(temporary)
                os.link(temporary, path)
                flush(path.parent)
            except FileExistsError:
                return False
            finally:
                temporary.unlink(missing_ok=True)
        return True

    def exists(self, key: str) -> bool:
        path = self._path(key)
        return path.is_file() or (path / DIGESTS).is_file()

    def list(self, prefix: str = "") -> Keys:
        folder = self._path(prefix)
        return sorted(
            path.relative_to(self.root).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and not path.name.endswith(".tmp")
        )

    @activity(DATA)
    def fetch(self, key: str, local: str | Path, digest: str = "") -> Path:
        source, local = self._path(key), Path(local)
        if source.is_dir():
            with atomic_folder(local) as temporary:
                shutil.copytree(source, temporary, dirs_exist_ok=True)
                verify_digests(temporary, digest)
            return local
        with atomic_write(local) as file:
            shutil.copyfile(self._file(key), file)
            if digest and sha256_file(file) != digest:
                raise DigestError(f"{source}: its bytes are not those expected")
        return local

    def publish(self, folder: str | Path, key: str) -> str:
        with atomic_folder(self._path(key)) as temporary:
            shutil.copytree(folder, temporary, dirs_exist_ok=True)
            return write_digests(temporary)

    def upload(self, local: Path, key: str) -> None:
        with atomic_write(self._path(key)) as temporary:
            shutil.copyfile(local, temporary)

    def num_bytes(self, key: str) -> int:
        return self._file(key).stat().st_size

    def etag(self, key: str) -> str:
        path = self._path(key)
        with storage_errors(path):
            status = path.stat() if path.is_file() else None
        return f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}" if status else ""

    def delete(self, key: str) -> None:
        path = self._path(key)
        with storage_errors(path):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        parts = PurePosixPath(key)
        if parts.is_absolute() or ".." in parts.parts:
            raise ConfigError(f"{key!r}: a key is a relative path without ..")
        return self.root / parts

    def _file(self, key: str) -> Path:
        path = self._path(key)
        if not path.is_file():
            raise DataError(f"{path}: no such file")
        return path
