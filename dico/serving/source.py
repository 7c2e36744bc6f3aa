"""Finds what to serve: a registered version by name and alias or number, a folder, or a URI."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from dico.errors import UsageError
from dico.registry import cache_folder, open_registry
from dico.registry.find import find_version
from dico.storage import open_store, sha256_file, split_uri
from dico.storage.digests import DIGESTS

_NAMED = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(@(?P<which>[A-Za-z0-9][A-Za-z0-9._-]*))?"
)


@dataclass(frozen=True, slots=True)
class Source:
    """What is served: a version's folder on this machine, and what it is called."""

    name: str
    """Name of the model."""
    version: str
    """Number of the version, or the first digits of its digest."""
    folder: Path
    """Where it lies."""

    @property
    def digest(self) -> str:
        """SHA-256 of the folder's digests."""
        return sha256_file(self.folder / DIGESTS)


def find_source(model: str, registry: str, name: str = "") -> Source:
    """What ``model`` says, on this machine and checked by its digests.

    Args:
        model: ``name``, ``name@alias`` or ``name@3`` in the registry; or a folder with
            digests.json, or the s3:// or file:// URI of one. Empty: the registry's one model, or its
            newest champion.
        registry: folder or s3:// prefix.
        name: what a folder's model is called; ignored for the registry's.

    Raises:
        UsageError: there is no such thing.
        DigestError: it is not what was registered.
    """
    if "://" in model:
        return _fetched(model, name)
    if (Path(model) / DIGESTS).is_file():
        return _folder(Path(model), name)
    if model and not _NAMED.fullmatch(model):
        raise UsageError(f"{model}: no folder with {DIGESTS}, and not a name, name@alias or name@3")
    return _registered(model, registry)


def _folder(folder: Path, name: str) -> Source:
    return Source(name or "dico", sha256_file(folder / DIGESTS)[:12], folder)


def _fetched(uri: str, name: str) -> Source:
    store, key = split_uri(uri)
    local = cache_folder() / hashlib.sha256(uri.encode()).hexdigest()
    return _folder(open_store(store).fetch(key, local), name)


def _registered(model: str, registry: str) -> Source:
    opened = open_registry(registry)
    version = find_version(opened, model)
    return Source(version.name, str(version.number), opened.fetch(version, cache_folder()))
