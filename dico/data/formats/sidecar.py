"""A folder of images with a text beside each: ``0001.jpg`` and ``0001.txt`` (or .caption, .json).

Or the texts are in a folder of their own, as ``images/0001.jpg`` and ``captions/0001.txt``.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial

from dico.data.entries import Entry, split_in_name
from dico.data.formats import samples
from dico.data.formats.reading import Reading
from dico.images.errors import ImageError
from dico.storage.uris import IMAGE_SUFFIXES

_OWN_FOLDER = re.compile(
    r"(?:^|(?<=/))(?:images?|imgs?|jpg|photos?|captions?|texts?|txt|text_c10|labels?|annotations?|prompts?)/",
    re.IGNORECASE,
)


def is_sidecar(files: Sequence[str]) -> bool:
    """Whether most images of a folder have a text of their name, beside them or in parallel."""
    return _most_have_texts(files) or are_parallel(files)


def are_parallel(files: Sequence[str]) -> bool:
    """Whether the texts are not beside their images but in folders of their own."""
    return not _most_have_texts(files) and _most_have_texts([without_folder(f) for f in files])


def without_folder(name: str) -> str:
    """A path without the folder that all images, or all texts, have to themselves."""
    return _OWN_FOLDER.sub("", name)


def _parallel_key(name: str) -> str:
    return samples.key_of(without_folder(name))


def _most_have_texts(files: Sequence[str]) -> bool:
    images = {samples.stem_of(uri) for uri in files if _has(uri, IMAGE_SUFFIXES)}
    texts = {samples.stem_of(uri) for uri in files if _has(uri, samples.CAPTION_SUFFIXES)}
    return bool(images) and 2 * len(images & texts) >= len(images)


def read(files: Sequence[str], reading: Reading) -> Iterator[Entry]:
    """The images of a folder, each with the texts beside it."""
    folder = reading.uri
    groups: dict[str, samples.Group] = {}
    key_of = _parallel_key if are_parallel(files) else samples.key_of
    for uri in files:
        name = uri.removeprefix(folder).lstrip("/")
        samples.add(groups, samples.Item(name, uri, 0, partial(_bytes, uri)), reading, key_of)
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
