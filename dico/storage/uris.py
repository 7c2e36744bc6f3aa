"""Lists and opens a dataset's files and images, in local folders and s3:// prefixes alike."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from dico.storage import open_store, split_uri

IMAGE_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".png",
    ".webp",
    ".gif",
    ".bmp",
    ".tif",
    ".tiff",
    ".avif",
    ".heic",
    ".heif",
    ".ppm",
    ".pgm",
)


_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_remote(uri: str) -> bool:
    """Whether a URI is in an object store."""
    return uri.startswith("s3://")


def is_address(name: str) -> bool:
    """Whether a name is an address of the web or of a store that is not S3; no step fetches these."""
    return _ADDRESS.match(name) is not None and not name.startswith(("s3://", "file://"))


def is_image_name(name: str) -> bool:
    """Whether a file is an image by its name; what macOS leaves beside files is none."""
    base = name.rpartition("/")[2]
    return base.lower().endswith(IMAGE_SUFFIXES) and not base.startswith("._")


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


@cache
def _copies() -> TemporaryDirectory[str]:
    """The folder of `kept_copy`, gone with this process."""
    return TemporaryDirectory(prefix="dico-")


@cache
def kept_copy(uri: str) -> Path:
    """A local path of a file; a remote one is fetched once, and kept until the process ends."""
    if not is_remote(uri):
        return Path(uri)
    store, key = split_uri(uri)
    local = Path(_copies().name, store.removeprefix("s3://"), key)
    local.parent.mkdir(parents=True, exist_ok=True)
    return open_store(store).fetch(key, local)


def list_files(root: str) -> list[str]:
    """URIs of all files below a folder or prefix, sorted."""
    if is_remote(root):
        store = open_store(root)
        return [f"{root.rstrip('/')}/{key}" for key in store.list()]
    found = []
    for folder, _, names in os.walk(root, followlinks=False):
        found += [os.path.join(folder, name) for name in names]
    return sorted(found)
