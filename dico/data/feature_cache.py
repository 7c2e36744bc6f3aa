"""The local copy of a feature store that lies in an object store."""

import hashlib
import json
import os
from pathlib import Path

from dico.errors import DigestError
from dico.storage import atomic_write, open_store

INDEX = "index.json"


def cache_folder() -> Path:
    """Folder for copies of remote data: ``$DICO_CACHE``, else ``~/.cache/dico``."""
    return Path(os.environ.get("DICO_CACHE") or Path.home() / ".cache" / "dico")


def fetch_store(uri: str) -> Path:
    """Copies the shards of a store that are not here yet; returns the local folder.

    Shards never change once they are named in the index, so one that is here is not fetched again;
    its rows are checked like any others when the store is opened.
    """
    store = open_store(uri)
    name = hashlib.sha256(uri.rstrip("/").encode()).hexdigest()[:16]
    folder = cache_folder() / "features" / name
    folder.mkdir(parents=True, exist_ok=True)
    if not store.exists(INDEX):
        (folder / INDEX).unlink(missing_ok=True)
        return folder
    data = store.read_bytes(INDEX)
    try:
        content = json.loads(data)
        names = [shard["name"] for shard in content["shards"]]
        arrays = list(content["arrays"])
    except (ValueError, KeyError, TypeError):
        raise DigestError(f"{uri}/{INDEX}: damaged; extract the features again") from None
    for shard in names:
        for array in ("keys", *arrays):
            file = f"{shard}.{array}.safetensors"
            if not (folder / file).exists():
                store.fetch(file, folder / file)
    with atomic_write(folder / INDEX) as temporary:
        temporary.write_bytes(data)
    return folder
