"""Which column of a row is what: known names in their order, or the names that the user gives."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dico.errors import UsageError

IMAGE_KEYS = (
    "image",
    "file_name",
    "filename",
    "filepath",
    "image_path",
    "path",
    "img",
    "image_name",
    "image_file",
    "image_filename",
    "img_path",
    "img_name",
    "file_path",
    "picture",
    "photo",
    "file",
    "jpg",
    "jpeg",
    "png",
    "webp",
    "image_bytes",
    "image_base64",
    "uri",
    "url",
    "image_url",
    "img_url",
)
CAPTION_KEYS = (
    "caption",
    "text",
    "sentence",
    "raw",
    "comment",
    "caption_str",
    "description",
    "alt_text",
    "caption_text",
    "image_caption",
    "txt",
    "report",
    "utterance",
    "title",
    "paragraph",
    "suffix",  # PaliGemma's rows
    "response",  # of rows of instructions
    "output",
)
CAPTIONS_KEYS = (
    "captions",
    "sentences",
    "sentences_raw",
    "annotations_captions",
    "texts",
    "references",
    "reference_strs",
    "comments",
)
PREDICTION_KEYS = (
    "prediction",
    "predictions",
    "predicted_caption",
    "predicted",
    "pred_caption",
    "pred",
    "generated_caption",
    "generated_text",
    "generated",
    "hypothesis",
    "hyp",
    "model_output",
    "candidate",
)
"""Columns of a captioner's own captions, where a table holds those of people beside them."""
REFERENCE_KEYS = (
    "references",
    "reference_captions",
    "reference_caption",
    "reference",
    "refs",
    "ref",
    "ground_truths",
    "ground_truth",
    "gt_captions",
    "gt_caption",
    "gts",
    "gt",
)
"""Columns of people's captions in such a table."""
_OF_ROLE = {"system": PREDICTION_KEYS, "references": REFERENCE_KEYS}
ID_KEYS = ("image_id", "cocoid", "imgid", "img_id", "id", "uniq_id")
SPLIT_KEYS = (
    "set_name",
    "subset",
    "partition",
    "fold",
    "usage",
    "set",
    "phase",
    "data_split",
    "dataset_split",
    "split_name",
    "image_split",
)
"""Columns that are the split where they say a split's name; ``split`` itself comes before them."""
LANGUAGE_KEYS = ("language", "lang", "locale", "language_code", "lang_code")
LANGUAGE = re.compile(r"[a-z]{2}(?:[-_][A-Za-z]{2,4})?")
"""A language's code, as ``en`` or ``pt-BR``."""
TURN_KEYS = frozenset(("conversations", "messages", "conversation"))
_REJECTED = (
    "rejected",
    "precanned",
    "deleted",
    "ignored",
    "invalid",
    "excluded",
    "discarded",
    "removed",
    "skipped",
    "flagged",
    "bad",
    "spam",
)
_REJECT = ("ignore", "reject", "exclude", "skip", "discard", "was_cancelled")
REJECTED_KEYS = (*(f"is_{word}" for word in _REJECTED), *_REJECTED, *_REJECT)
_VALID = ("valid", "accepted", "approved", "usable", "keep", "include")
VALID_KEYS = (*(f"is_{word}" for word in _VALID), *_VALID)
STATUS_KEYS = ("status", "assignmentstatus", "assignment_status", "review_status", "decision",
               "verdict", "answer")  # fmt: skip
"""Columns whose word may say that a caption is not to be used, as Mechanical Turk and Prodigy do."""
_REFUSED = (
    "rejected",
    "declined",
    "deleted",
    "discarded",
    "cancelled",
    "invalid",
    "reject",
    "ignore",
)
MARKS = frozenset((*REJECTED_KEYS, *VALID_KEYS, *STATUS_KEYS))
_OF_A_FORM = re.compile(r"^(?:Input|Answer)\.(?=\w)")
_NUMBERED = re.compile(r"(caption|text|sentence|raw|comment|description|reference)s?[ ._-]?\d{1,3}")

_NUMBERED_IMAGE = re.compile(
    r"(?:image|img|photo|picture)(?:_(?:path|file|name|url))?s?[ _-]?\d{1,3}"
)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that the user names; empty where the known names count."""

    image: str = ""
    """Column of the image; a point leads into an object, as in ``image.path``."""
    captions: tuple[str, ...] = ()
    """Columns of captions, each a text or a list of texts."""
    where: tuple[tuple[str, str], ...] = ()
    """Columns with the value that a row must have for its captions to count."""
    role: str = ""
    """Whose captions a table that holds both is read for: ``system``, ``references`` or no matter."""

    @classmethod
    def named(cls, image: str = "", captions: str = "", where: str = "") -> "Columns":
        """From the options' texts; several columns of captions with commas.

        Raises:
            UsageError: ``where`` is not ``COLUMN=VALUE``, several with commas.
        """
        chosen = [pair.partition("=") for pair in where.split(",") if pair.strip()]
        if not all(column.strip() and sign for column, sign, _ in chosen):
            raise UsageError(f"--where {where!r} is not COLUMN=VALUE, as language=en")
        return cls(
            image.strip(),
            tuple(c.strip() for c in captions.split(",") if c.strip()),
            tuple((column.strip(), value.strip()) for column, _, value in chosen),
        )

    def choose(self, row: Mapping[str, Any]) -> bool:
        """Whether a row has the values that ``where`` asks for."""
        return all(_says(lookup(row, column), value) for column, value in self.where)

    def of_role(self) -> tuple[str, ...]:
        """The names that come before all others for the captions that are wanted."""
        return () if self.captions else _OF_ROLE.get(self.role, ())


KNOWN_NAMES = Columns()
"""No column is named: the known names count."""


def normal_key(key: object) -> str:
    """A column's name as it is looked up: lower case, words joined by one underscore.

    Mechanical Turk's tables call each column ``Input.NAME`` or ``Answer.NAME``.
    """
    name = _OF_A_FORM.sub("", str(key).strip())
    return re.sub(r"[\s_-]+", "_", name.lower())


def normal_keys(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row under normal names; of two keys that become one, the first counts."""
    normal: dict[str, Any] = {}
    for key, value in row.items():
        normal.setdefault(normal_key(key), value)
    return normal


def first(row: Mapping[str, Any], keys: Iterable[str]) -> Any:
    """The value of the first of ``keys`` that the row has."""
    return next((row[key] for key in keys if row.get(key) is not None), None)


def first_key(row: Mapping[str, Any], keys: Iterable[str]) -> str:
    """The first of ``keys`` that the row has; empty for none."""
    return next((key for key in keys if row.get(key) is not None), "")


def lookup(row: Mapping[str, Any], path: str) -> Any:
    """The value of a column that the user named, also inside of objects, and of lists of these."""
    if path in row:
        return row[path]
    value: Any = row
    for part in path.split("."):
        value = _inside(value, part)
    if value is None:
        return normal_keys(row).get(normal_key(path))
    return value


def _inside(value: Any, key: str) -> Any:
    if isinstance(value, list):
        found = [one for one in (_inside(item, key) for item in value) if one is not None]
        return found or None
    return value.get(key) if isinstance(value, Mapping) else None


def numbered_captions(keys: Iterable[str]) -> list[str]:
    """The keys that are captions by number: ``caption_0``, ``caption_1``; in the row's order."""
    return [key for key in keys if _NUMBERED.fullmatch(key)]


def numbered_images(keys: Iterable[str]) -> list[str]:
    """The keys that are images by number: ``image_0``, ``image_1``; in the row's order."""
    return [key for key in keys if _NUMBERED_IMAGE.fullmatch(key)]


def is_column(path: str, names: Iterable[str]) -> bool:
    """Whether a column that the user named, or the object that it lies in, is one of ``names``."""
    known = {path, normal_key(path), path.partition(".")[0]}
    return not known.isdisjoint(names)


def is_rejected(row: Mapping[str, Any]) -> str:
    """Which mark of a row says that its caption is not to be used; empty for none."""
    if MARKS.isdisjoint(row):
        return ""
    for key in REJECTED_KEYS:
        if _is_true(row.get(key)):
            return key
    for key in VALID_KEYS:
        if _is_false(row.get(key)):
            return key
    if _is_reason(row.get("reject")):
        return "reject"  # Mechanical Turk's tables have the reason there
    words = ((key, row.get(key)) for key in STATUS_KEYS)
    return next((k for k, w in words if isinstance(w, str) and w.lower() in _REFUSED), "")


def known_columns(names: Iterable[str], columns: Columns) -> tuple[bool, bool, bool]:
    """Whether columns of these names hold an image, a caption and an id."""
    normal = [normal_key(name) for name in names]
    image = (
        bool(columns.image)
        or any(key in IMAGE_KEYS or key == "images" for key in normal)
        or bool(numbered_images(normal))
    )
    captions = (
        bool(columns.captions)
        or any(key in CAPTION_KEYS or key in CAPTIONS_KEYS for key in normal)
        or not TURN_KEYS.isdisjoint(normal)
        or not set(columns.of_role()).isdisjoint(normal)
        or bool(numbered_captions(normal))
    )
    return image, captions, any(key in ID_KEYS for key in normal)


def _says(value: object, wanted: str) -> bool:
    return value is not None and str(value).strip().lower() == wanted.lower()


def _is_reason(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower() not in ("", "none", "null", *_FALSE)


def _is_true(value: object) -> bool:
    return value is True or value == 1 or (isinstance(value, str) and value.lower() in _TRUE)


def _is_false(value: object) -> bool:
    return value is False or value == 0 or (isinstance(value, str) and value.lower() in _FALSE)


_TRUE = ("true", "1", "yes", "1.0", "t", "y", "x")
_FALSE = ("false", "0", "no", "0.0", "f", "n")
