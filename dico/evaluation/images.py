"""The file of each image that is scored: as its references name it, or else by its id."""

import os
from collections.abc import Sequence, Set
from pathlib import Path

from dico.data.finder import ImageFinder
from dico.data.formats.columns import KNOWN_NAMES, Columns
from dico.errors import DataError
from dico.evaluation.files import ids_of, read_with_images
from dico.images.embedded import container_of
from dico.metrics.scores import name_some
from dico.storage.uris import is_image_name, is_remote, kept_copy, list_files


def find_images(
    folder: str | Path,
    image_ids: Sequence[str],
    where: Path | None = None,
    columns: Columns = KNOWN_NAMES,
) -> dict[str, Path]:
    """The file of each image, as `locate_images` finds it.

    Raises:
        DataError: as there, or an image id without an image.
    """
    found, missing = locate_images(folder, image_ids, where, columns)
    if missing:
        raise DataError(f"{folder}: no image for {name_some(missing)}")
    return found


def locate_images(
    folder: str | Path,
    image_ids: Sequence[str],
    where: Path | None = None,
    columns: Columns = KNOWN_NAMES,
) -> tuple[dict[str, Path], list[str]]:
    """The images that are there, and the ids of those that are not.

    Args:
        folder: folder or prefix, looked through with all below it; images of a prefix are fetched.
        image_ids: whose images are wanted.
        where: references that may name the files, or hold the images.
        columns: the columns of the references that the user names.

    Raises:
        DataError: no such folder, or a name that several images have.
    """
    root = str(folder).rstrip("/") if is_remote(str(folder)) else os.path.abspath(folder)
    listed = set(list_files(root)) if is_remote(root) else set[str]()
    if not listed and not os.path.isdir(root):
        raise DataError(f"{folder}: no such folder")
    told = _told(root, image_ids, where, columns, listed) if where else {}
    finder = ImageFinder([root], deep=True)
    found: dict[str, Path] = {}
    ambiguous: list[str] = []
    for image_id in image_ids:
        findings: list[tuple[str, str]] = []
        uri = told.get(image_id, "")
        if not uri:
            named = [image_id] if is_image_name(image_id) else []
            uri = finder.find(named, findings) if named else finder.find_id(image_id, findings)
        ambiguous += [detail for code, detail in findings if code == "image_ambiguous"]
        if uri and _is_there(uri, listed):
            found[image_id] = kept_copy(uri)
    if ambiguous:
        raise DataError(f"{ambiguous[0]}; name one folder with --images")
    return found, [image_id for image_id in image_ids if image_id not in found]


def _told(
    folder: str, image_ids: Sequence[str], where: Path, columns: Columns, listed: Set[str]
) -> dict[str, str]:
    """{image id: file} of those images that the references name and that are there."""
    entries = [entry for entry in read_with_images(where, folder, columns) if entry.uri]
    ids = ids_of(entries, image_ids)
    wanted = set(image_ids)
    pairs = [(i, entry) for i, entry in zip(ids, entries, strict=True) if i in wanted]
    for image_id, entry in pairs:
        for code, detail in entry.findings:
            if code == "image_ambiguous":
                raise DataError(f"{image_id}: {detail}; name one folder with --images")
    return {i: entry.uri for i, entry in pairs if _is_there(entry.uri, listed)}


def _is_there(uri: str, listed: Set[str]) -> bool:
    """Whether the file is there, or the table or tar around the image."""
    return uri in listed or os.path.exists(container_of(uri)[0])
