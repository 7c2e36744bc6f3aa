"""A folder of images with a text beside each: ``0001.jpg`` and ``0001.txt`` (or .caption, .json)."""

from collections.abc import Iterator, Sequence
from functools import partial

from dico.data.entries import Entry, split_in_name
from dico.data.formats import samples
from dico.data.formats.reading import Reading
from dico.images.errors import ImageError
from dico.storage.uris import IMAGE_SUFFIXES


def is_sidecar(files: Sequence[str]) -> bool:
    """Whether most images of a folder have a text of their name."""
    images = {samples.stem_of(uri) for uri in files if _has(uri, IMAGE_SUFFIXES)}
    texts = {samples.stem_of(uri) for uri in files if _has(uri, samples.CAPTION_SUFFIXES)}
    return bool(images) and 2 * len(images & texts) >= len(images)


def read(files: Sequence[str], reading: Reading) -> Iterator[Entry]:
    """The images of a folder, each with the texts beside it."""
    folder = reading.uri
    groups: dict[str, samples.Group] = {}
    for uri in files:
        name = uri.removeprefix(folder).lstrip("/")
        samples.add(groups, samples.Item(name, uri, 0, partial(_bytes, uri)), reading)
    for group in groups.values():
        for entry in samples.entries(group, folder, reading):
            entry.split = entry.split or split_in_name(entry.image_id.rpartition("/")[0])
            yield entry


def _has(uri: str, suffixes: Sequence[str]) -> bool:
    name = uri.rpartition("/")[2]
    return samples.suffix_of(name) in suffixes and not samples.is_left_behind(name)


def _bytes(uri: str) -> bytes:
    from dico.images.load import read_image

    try:
        return read_image(uri)
    except ImageError as error:
        if error.code == "image_empty":
            return b""
        raise
