"""The store at a URI."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from dico.errors import ConfigError
from dico.storage.store import Store


def open_store(uri: str | Path) -> Store:
    """The store at ``uri``: a folder, ``file://`` or ``s3://bucket/prefix``.

    Raises:
        ConfigError: an unknown scheme.
    """
    text = str(uri)
    scheme = text.split("://", 1)[0] if "://" in text else ""
    if scheme == "s3":
        from dico.storage.s3 import S3Store

        return S3Store(text)
    if scheme in ("", "file"):
        from dico.storage.local import LocalStore

        return LocalStore(unquote(urlsplit(text).path) if scheme else text)
    raise ConfigError(f"{text}: unknown store {scheme}://; use a folder or s3://bucket/prefix")
