"""Provenance of a result: the version of dico and a digest of its code and its plug-ins."""

import functools
import hashlib
from pathlib import Path

import dico
from dico.plugins import plugins_digest


@functools.cache
def code_digest() -> str:
    """Hex SHA-256 over every file of the package and its name; compiled Python is left out.

    Where other packages offer plug-ins, their code counts too: a reward that was edited is another.
    """
    root = Path(dico.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(f"{path.relative_to(root)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(plugins_digest().encode())
    return digest.hexdigest()


def code_version() -> str:
    """Version and code digest, such as ``0.1.0+3f2a91c04be7``."""
    return f"{dico.__version__}+{code_digest()[:12]}"
