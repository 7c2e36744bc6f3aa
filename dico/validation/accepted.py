"""Manifests of accepted datasets, kept in the store to measure the drift of later ones from."""

from pathlib import Path

from dico.storage import open_store


def keep_manifest(store: str, fingerprint: str, manifest: str) -> None:
    """Keeps a manifest under its dataset's fingerprint; nothing happens where it is kept."""
    opened, key = open_store(store), _key(fingerprint)
    if not opened.exists(key):
        opened.upload(Path(manifest), key)


def manifest_uri(store: str, fingerprint: str) -> str:
    """Where the manifest of a dataset is kept; empty where it is not."""
    opened, key = open_store(store), _key(fingerprint)
    return f"{opened.uri}/{key}" if fingerprint and opened.exists(key) else ""


def _key(fingerprint: str) -> str:
    return f"manifests/{fingerprint}.parquet"
