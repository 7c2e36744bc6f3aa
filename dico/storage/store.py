"""One interface for a folder and for an s3:// prefix.

Keys are relative paths with ``/``. A published folder carries its digests.json, which is written
last: without it the folder is not there yet.
"""

from pathlib import Path
from typing import Protocol

Keys = list[str]


class Store(Protocol):
    """Objects and folders of objects below one URI."""

    uri: str

    def read_bytes(self, key: str, sha256: str = "") -> bytes:
        """All bytes of an object, checked against ``sha256`` where given."""

    def read_range(self, key: str, start: int, num_bytes: int) -> bytes:
        """``num_bytes`` bytes from offset ``start``; fewer only at the object's end."""

    def write_bytes(self, key: str, data: bytes) -> None:
        """Writes an object whole, replacing what was there."""

    def create(self, key: str, data: bytes) -> bool:
        """Writes an object only where none is; False when another was first."""

    def exists(self, key: str) -> bool:
        """Whether an object, or a published folder, is there."""

    def list(self, prefix: str = "") -> Keys:
        """Keys of all objects below the folder ``prefix``, sorted."""

    def fetch(self, key: str, local: str | Path, digest: str = "") -> Path:
        """Copies an object, or a published folder with its digests checked, to ``local``."""

    def publish(self, folder: str | Path, key: str) -> str:
        """Copies a local folder to ``key`` at once; returns its digest."""

    def upload(self, local: Path, key: str) -> None:
        """Copies a local file to ``key`` at once."""

    def num_bytes(self, key: str) -> int:
        """Size of an object in bytes."""

    def etag(self, key: str) -> str:
        """What changes when the object changes; empty when there is no object."""

    def delete(self, key: str) -> None:
        """Removes an object or a folder; nothing happens where none is."""


def split_uri(uri: str) -> tuple[str, str]:
    """Splits an object's URI into its store's URI and its key.

    ``s3://bucket/a/b.json`` gives ``("s3://bucket/a", "b.json")``.
    """
    head, _, name = str(uri).rstrip("/").rpartition("/")
    if str(uri).startswith("s3://") and head in ("s3:/", "s3:"):
        return str(uri), ""
    return head or ("/" if str(uri).startswith("/") else "."), name
