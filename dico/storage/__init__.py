"""Bytes at rest: atomic writes, digests, and one interface for folders and s3:// prefixes."""

from dico.storage.digests import verify_digests, write_digests
from dico.storage.files import atomic_folder, atomic_write, require_space, sha256_file
from dico.storage.open import open_store
from dico.storage.store import Store, split_uri

__all__ = [
    "Store",
    "atomic_folder",
    "atomic_write",
    "open_store",
    "require_space",
    "sha256_file",
    "split_uri",
    "verify_digests",
    "write_digests",
]
