"""Where a dataset's files and pictures are: local folders and s3:// prefixes alike."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from dico.storage import open_store, split_uri

PICTURE_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".webp",
    ".gif",
    ".bmp",
    ".tif",
    ".tiff",
    ".avif",
    ".ppm",
    ".pgm",
)


def is_remote(uri: str) -> bool:
    """Whether a URI is in an object store."""
    return uri.startswith("s3://")


def join(root: str, name: str) -> str:
    """A name below a folder or prefix; absolute paths and URIs stay as they are."""
    if is_remote(name) or os.path.isabs(name):
        return name
    if name.startswith("file://"):
        return name.removeprefix("file://")
    if is_remote(root):
        return f"{root.rstrip('/')}/{name.removeprefix('./')}"
    return os.path.normpath(os.path.join(root, name))


def parent(uri: str) -> str:
    """The folder or prefix in which a file lies."""
    if is_remote(uri):
        return uri.rstrip("/").rpartition("/")[0]
    return os.path.dirname(os.path.abspath(uri))


@contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """A local path of a file; fetched into a temporary folder when it is remote."""
    if not is_remote(uri):
        yield Path(uri)
        return
    store, key = split_uri(uri)
    with TemporaryDirectory(prefix="dico-") as folder:
        yield open_store(store).fetch(key, Path(folder) / key)


def list_files(root: str) -> list[str]:
    """URIs of all files below a folder or prefix, sorted."""
    if is_remote(root):
        store = open_store(root)
        return [f"{root.rstrip('/')}/{key}" for key in store.list()]
    found = []
    for folder, _, names in os.walk(root, followlinks=False):
        found += [os.path.join(folder, name) for name in names]
    return sorted(found)


@dataclass(slots=True)
class PictureFinder:
    """Turns the names that a dataset gives its pictures into URIs."""

    roots: tuple[str, ...]
    """Folders or prefixes to look in, in this order."""
    look: bool = True
    """Whether to look; otherwise the first root is taken, as when no picture is opened."""
    _last: int = 0

    def find(self, *names: str) -> str:
        """The first of ``names`` that exists below a root, else the first name below the first root.

        Names in an object store are not looked up: the first is taken.
        """
        if (
            not self.look
            or is_remote(self.roots[0])
            or is_remote(names[0])
            or os.path.isabs(names[0])
        ):
            return join(self.roots[0], names[0])
        options = [(root, name) for root in self.roots for name in names]
        for offset in range(len(options)):
            index = (self._last + offset) % len(options)
            uri = join(*options[index])
            if os.path.lexists(uri):
                self._last = index
                return uri
        return join(*options[0])
