"""Finds the images that a dataset names, and refuses a name that means two files.

A name is looked for in the roots in their order: beside the dataset's own file first. Only where no
root has it do the folders of images just below them count, and there a name must be the only one
of its kind, or lie in the folder of the row's split.
"""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from urllib.parse import unquote

from dico.data.entries import split_in_name
from dico.errors import AccessError
from dico.storage.uris import (
    IMAGE_SUFFIXES,
    is_address,
    is_image_name,
    is_remote,
    join,
    list_files,
    parent,
)

Findings = list[tuple[str, str]]
_SPLIT_FOLDER = re.compile(r"(?:images?[_-]?)?[a-z]+[_-]?\d*(?:[_-]?images?)?", re.IGNORECASE)
_IMAGE_FOLDER = re.compile(r"image|img|photo|pic|jpe?g|png|dataset", re.IGNORECASE)
_MAX_FOLDERS = 10_000
_MAX_LOST = 50  # names of one folder of another machine that are looked for in vain
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


class ImageFinder:
    """Turns the names that a dataset gives its images into URIs."""

    def __init__(
        self,
        roots: Sequence[str],
        check_exists: bool = True,
        strict: bool = False,
        deep: bool = False,
    ) -> None:
        """Takes folders or prefixes.

        Args:
            roots: where to look, in this order.
            check_exists: whether to look for files; otherwise the first root is taken, as when no image is opened.
            strict: whether the roots are equals, so that a name in two of them is ambiguous.
            deep: whether all folders below the roots count, not those just below alone.
        """
        self.roots, self.check_exists, self.strict, self.deep = (
            tuple(roots),
            check_exists,
            strict,
            deep,
        )
        self._listed: dict[str, set[str] | None] = {}
        self._moved_to: dict[str, str] = {}
        self._num_lost = Counter[str]()

    def find(
        self, names: Sequence[str], findings: Findings, split: str = "", image_id: str = ""
    ) -> str:
        """The URI of an image.

        Args:
            names: what the row calls it, the most telling first, such as ``folder/name`` before
                ``name``.
            findings: gets what is wrong with the name.
            split: the row's split, which chooses between folders that are named like splits.
            image_id: the row's id, by which an image may be called that its name does not find.
        """
        first = names[0]
        if is_address(first):
            findings.append(("image_address", first[:200]))
            return first
        if not self.check_exists or is_remote(first):
            return join(self.roots[0], first)
        if first.startswith(("file://", "~/")):
            path = os.path.expanduser(first.removeprefix("file://"))
            return self._moved(path if os.path.lexists(path) else unquote(path), split, findings)
        if _is_absolute(first):
            return self._moved(first, split, findings)
        folder = first.rpartition("/")[0] if len(names) > 1 else ""
        for name in names:
            bare = bool(folder) and name != first
            found = self._in_roots(name, folder if bare else "")
            if not found and not bare:
                found = self._beside(name) or self._below(name)
            if found:
                return self._only(found, first, split, findings)
        for name in _spellings(first):
            found = self._in_roots(name, "") or self._below(name)
            if found:
                return self._only(found, first, split, findings)
        for name in (first, *_spellings(first)):
            if found := self._in_another_case(name):
                return self._only(found, first, split, findings)
        image_id = image_id if is_image_name(first) else first
        found_id = self.find_id(image_id, findings, split) if image_id else ""
        return found_id or join(self.roots[0], first)

    def _moved(self, path: str, split: str, findings: Findings) -> str:
        """An absolute path; where nothing is there, the file that its longest end names here.

        A dataset that was made on another machine, as ``/kaggle/input/flickr8k/Images/1.jpg``, has its
        images here in ``Images``. A bare name counts in a root alone: elsewhere it may be another image.
        """
        folder, _, base = path.replace("\\", "/").rpartition("/")
        here = join(self._moved_to[folder], base) if folder in self._moved_to else path
        if os.path.lexists(here):
            return here
        parts = path.rpartition("?d=")[2].replace("\\", "/").split("/")  # ?d= of Label Studio
        for start in range(len(parts)) if self._num_lost[folder] < _MAX_LOST else ():
            name = "/".join(parts[start:])
            found = self._in_roots(name, parts[start - 1] if start else "") if name else []
            if not found and "/" in name:
                found = self._beside(name) or self._below(name)
            if found:
                uri = self._only(found, path, split, findings)
                self._moved_to[folder] = parent(uri) if uri else folder
                return uri
        self._num_lost[folder] += 1
        return join(self.roots[0], path)

    def within(self, folder: str, name: str) -> str:
        """The image of this name in the only folder that is called so; empty where none is."""
        path = f"{folder}/{name}"
        found = self._in_roots(path, "") or self._below(path) if self.check_exists else []
        return found[0] if len(found) == 1 else ""

    def find_id(self, image_id: str, findings: Findings, split: str = "") -> str:
        """The image whose file is called as the id is: ``ID.jpg``, or ``..._000000000ID.jpg``.

        Empty where there is none.
        """
        if not self.check_exists:
            return join(self.roots[0], image_id)
        folder, _, name = image_id.rpartition("/")
        name = name.rpartition(".")[0] if is_image_name(name) else name
        end = f"/{folder.rpartition('/')[2]}" if _is_absolute(folder) else folder
        called = (self._stems.get(name, []), self._numbers.get(name.lstrip("0"), []))
        ways = [[uri for uri in way if parent(uri).endswith(end)] for way in called]
        near = [list(filter(self._is_near, way)) for way in ways]
        found = next(filter(None, (*near, *ways)), [])
        return self._only(found, image_id, split, findings) if found else ""

    def _is_near(self, uri: str) -> bool:
        """Whether an image lies in a root or below the first, not in a folder beside it."""
        return uri.startswith(f"{self.roots[0]}/") or parent(uri) in self.roots

    def _in_roots(self, name: str, folder: str) -> list[str]:
        """Places of a name in the roots; with ``folder`` not in a root that is another folder."""
        found = []
        for root in self.roots:
            if folder and _is_another(root, folder):
                continue
            uri = join(root, name)
            if self._exists(uri, root):
                found.append(uri)
                if not self.strict:
                    break
        return found

    def _beside(self, name: str) -> list[str]:
        """Places of ``folder/name`` beside a root, where the root is one of several such folders."""
        if "/" not in name:
            return []
        for root in self.roots:
            above = parent(root)
            if PurePosixPath(root).name and self._exists(uri := join(above, name), above):
                return [uri]
        return []

    def _below(self, name: str) -> list[str]:
        if "/" not in name:
            found = self._names.get(name, [])
        else:
            places = ((join(folder, name), folder) for folder in self._folders)
            found = [uri for uri, folder in places if self._exists(uri, folder)]
        return found if len(found) < 2 else self._of_the_dataset(found)

    def _of_the_dataset(self, found: list[str]) -> list[str]:
        """Of several places those in the dataset's own folder, or else in folders of splits.

        Folders beside the dataset's may be other datasets: they do not make a name ambiguous.
        """
        own = [uri for uri in found if uri.startswith(f"{self.roots[0]}/")]
        return own or [uri for uri in found if _split_of_folder(uri)]

    def _only(self, found: list[str], name: str, split: str, findings: Findings) -> str:
        """The one file that a name means; none where there are several, which is a finding."""
        if len(found) > 1 and split:
            own = [uri for uri in found if _split_of_folder(uri) == split]
            found = own or found
        if len(found) > 1:
            folders = list(dict.fromkeys(map(parent, found)))
            places = ", ".join((folders if len(folders) > 1 else found)[:3])
            what = "lies in" if len(folders) > 1 else "may be"
            findings.append(("image_ambiguous", f"{name} {what} {places}"[:300]))
            return ""
        return found[0]

    def _in_another_case(self, name: str) -> list[str]:
        """Places of ``img.jpg`` where the file is called ``IMG.JPG``."""
        folder, _, base = name.replace("\\", "/").lower().rpartition("/")
        found = self._folded.get(base, [])
        found = [uri for uri in found if not folder or parent(uri).lower().endswith(f"/{folder}")]
        return found if len(found) < 2 else self._of_the_dataset(found)

    @cached_property
    def _folded(self) -> dict[str, list[str]]:
        """Name in lower case to the images in the roots and below them."""
        found: dict[str, list[str]] = {}
        for root in self.roots:
            own: dict[str, list[str]] = defaultdict(list)
            for name in self._images_of(root):
                own[name.lower()].append(join(root, name))
            found = {**own, **found}
        below: dict[str, list[str]] = defaultdict(list)
        for name, uris in self._names.items():
            below[name.lower()] += uris
        return {**below, **found}

    def _exists(self, uri: str, root: str) -> bool:
        if not is_remote(uri):
            return os.path.lexists(uri)
        listed = self._listing(root)
        return listed is None or uri in listed

    def _listing(self, root: str) -> set[str] | None:
        """URIs below a prefix, listed once; None where the key may not list it."""
        for known, found in self._listed.items():
            if root == known or root.startswith(f"{known}/"):
                return found
        try:
            self._listed[root] = set(list_files(root))
        except AccessError:
            self._listed[root] = None
        return self._listed[root]

    @cached_property
    def _folders(self) -> list[str]:
        """Folders just below the roots, such as COCO's train2017, that hold images."""
        above = parent(self.roots[0])
        found = (
            folder
            for root in self.roots
            for folder in self._folders_of(root)
            if root != above or _is_of_images(folder)  # the others are other datasets
        )
        return [folder for folder in dict.fromkeys(found) if folder not in self.roots]

    def _folders_of(self, root: str) -> Iterator[str]:
        if is_remote(root):
            below = sorted(self._listing(root) or ())
            names = {uri.removeprefix(f"{root}/") for uri in below if is_image_name(uri)}
            part = str.rpartition if self.deep else str.partition
            folders = {part(name, "/")[0] for name in names if "/" in name}
            yield from (join(root, folder) for folder in sorted(folders))
        elif self.deep:
            yield from (folder for folder, _, _ in os.walk(root) if folder != root)
        elif os.path.isdir(root):
            for name in sorted(os.listdir(root))[:_MAX_FOLDERS]:
                folder = os.path.join(root, name)
                if os.path.isdir(folder) and _has_image(folder):
                    yield folder

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """Name to the images below the roots that have it."""
        found: dict[str, list[str]] = defaultdict(list)
        for folder in self._folders:
            for name in self._images_of(folder):
                found[name].append(join(folder, name))
        return dict(found)

    @cached_property
    def _stems(self) -> dict[str, list[str]]:
        """Name without suffix to images: of the first root that has it, else of the folders."""
        found: dict[str, list[str]] = {}
        for root in self.roots:
            own: dict[str, list[str]] = defaultdict(list)
            for name in self._images_of(root):
                own[name.rpartition(".")[0]].append(join(root, name))
            found = {**own, **found}
        below: dict[str, list[str]] = defaultdict(list)
        for name, uris in self._names.items():
            below[name.rpartition(".")[0]] += uris
        return {**below, **found}

    @cached_property
    def _numbers(self) -> dict[str, list[str]]:
        """Number at the end of a name, without zeros before it, to images."""
        found: dict[str, list[str]] = defaultdict(list)
        for stem, uris in self._stems.items():
            number = stem.rpartition("_")[2]
            if number.isdigit():
                found[number.lstrip("0")] += uris
        return dict(found)

    def _images_of(self, folder: str) -> list[str]:
        if is_remote(folder):
            below = (uri.removeprefix(f"{folder}/") for uri in self._listing(folder) or ())
            return sorted(name for name in below if "/" not in name and is_image_name(name))
        if not os.path.isdir(folder):
            return []
        with os.scandir(folder) as listing:
            return sorted(item.name for item in listing if is_image_name(item.name))


def _is_absolute(path: str) -> bool:
    """Whether a path is absolute here or on Windows, there also on another machine."""
    return os.path.isabs(path) or path.startswith("\\\\") or bool(_DRIVE.match(path))


def _is_of_images(folder: str) -> bool:
    """Whether a folder is called after images or a split: ``flickr30k-images``, ``train2017``."""
    name = folder.rpartition("/")[2]
    is_named = len(re.split("[_-]", name)) <= 3 and _IMAGE_FOLDER.search(name)
    return bool(is_named or _split_of_folder(join(folder, "image")))


def _split_of_folder(uri: str) -> str:
    """The split that the name of an image's folder is: ``train2017``, ``test_images``, ``val``."""
    name = parent(uri).rpartition("/")[2]
    return split_in_name(name) if _SPLIT_FOLDER.fullmatch(name) else ""


def _is_another(root: str, folder: str) -> bool:
    """Whether a root and the folder that a row names are two different splits."""
    splits = [split_in_name(one.rstrip("/").rpartition("/")[2]) for one in (root, folder)]
    return all(splits) and splits[0] != splits[1]


def spelling(name: str) -> str:
    """A name as it is compared: however its slashes, its case, its escapes and its accents are written."""
    plain = unicodedata.normalize("NFC", unquote(name)).replace("\\", "/").strip().casefold()
    return os.path.normpath(plain)


def _spellings(name: str) -> list[str]:
    """Other ways to write a path: with Windows' backslashes, escaped, in Unicode's other form."""
    options = [
        name.replace("\\", "/"),
        unquote(name),
        unicodedata.normalize("NFC", name),
        unicodedata.normalize("NFD", name),
        name.strip(),
    ]
    return [one for one in dict.fromkeys(options) if one and one != name]


def _has_image(folder: str) -> bool:
    with os.scandir(folder) as listing:
        for _, item in zip(range(20), listing, strict=False):
            if PurePosixPath(item.name).suffix.lower() in IMAGE_SUFFIXES:
                return True
    return False
