"""Tells whether a dataset is still the one that was checked, without reading its images."""

import hashlib
import os
import uuid
from collections.abc import Iterator

from dico.data.formats import Columns, Dataset, detect, facts_beside, read_entries
from dico.data.formats.columns import KNOWN_NAMES
from dico.images.embedded import container_of
from dico.storage.uris import is_remote, list_files


def dataset_version(
    dataset: str, images: str = "", format_name: str = "", columns: Columns = KNOWN_NAMES
) -> str:
    """A digest over the sizes and modification times of a dataset's files and images.

    It decides only whether a dataset must be checked again; the manifest's fingerprint says what is
    in it. Files in an object store have no trustworthy times, so their version is always new.

    Raises:
        DataError: the dataset is missing or of no known format.
    """
    digest = hashlib.sha256()
    for uri in _files(detect(dataset, images, format_name, columns)):
        if is_remote(uri):
            return uuid.uuid4().hex
        digest.update(f"{uri}\0{_state(uri)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _files(found: Dataset) -> Iterator[str]:
    yield from (*(part.uri for part in found.parts), *(uri for _, uri in found.splits))
    yield facts_beside(found)
    if found.format == "sidecar":
        yield from (uri for part in found.parts for uri in list_files(part.uri))
        return
    if found.format == "webdataset" or any(is_remote(part.uri) for part in found.parts):
        return
    for entry in read_entries(found):
        yield container_of(entry.uri)[0]
        yield from entry.positive_uris


def _state(path: str) -> str:
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return "missing"
    return f"{state.st_size} {state.st_mtime_ns}"
