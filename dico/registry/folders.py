"""A version's folder in a store, by the digest of its content; the same for every registry."""

import re
from pathlib import Path
from typing import NamedTuple

from dico.errors import ConfigError
from dico.registry.signing import sign_if_configured, verify_if_configured
from dico.storage import Store, open_store, split_uri, verify_digests, write_digests
from dico.storage.local import LocalStore

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DIGITS_IN_NAME = 32


class Published(NamedTuple):
    """Where a folder lies, and what it holds."""

    uri: str
    """Folder or s3:// prefix."""

    digest: str
    """SHA-256 of its digests.json."""


def publish(store: Store, name: str, folder: Path) -> Published:
    """Signs the folder, where a key is configured, and publishes it unless it is there already."""
    check_name(name)
    sign_if_configured(folder)
    digest = write_digests(folder)
    key = place_of(name, digest)
    if not store.exists(key):
        store.publish(folder, key)
    return Published(f"{store.uri}/{key}", digest)


def fetch(uri: str, digest: str, cache: Path) -> Path:
    """A published folder on this machine, every byte checked, its signature too where keys are.

    Raises:
        DigestError: a byte changed, or it is not signed by a trusted key.
    """
    store_uri, key = split_uri(uri)
    store = open_store(store_uri)
    if isinstance(store, LocalStore):
        folder = store.root / key
        verify_digests(folder, digest)
    elif (cache / digest).is_dir():
        folder = cache / digest
        verify_digests(folder, digest)
    else:
        folder = store.fetch(key, cache / digest, digest)
    verify_if_configured(folder)
    return folder


def place_of(name: str, digest: str) -> str:
    """The key of a published folder."""
    return f"{name}/models/{digest[:_DIGITS_IN_NAME]}"


def check_name(name: str) -> None:
    """Refuses names of models and aliases that could leave their folder."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r}: a name is letters, digits, dots, dashes and underscores")
