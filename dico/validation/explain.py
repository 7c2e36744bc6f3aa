"""Explains how one row was read: the sources of its image and captions, and findings."""

from collections.abc import Iterator

from dico.data.captions import check_caption, normalise_caption, printable
from dico.data.entries import Entry
from dico.data.formats import Columns, detect, read_entries
from dico.data.formats.dataset import FORMATS, Dataset
from dico.data.manifest import SPLITS
from dico.errors import DataError
from dico.storage.uris import is_address, parent
from dico.validation.config import ValidationConfig
from dico.validation.findings import KINDS
from dico.validation.scan import inspect_once, split_of_folder

_MAX_ROWS = 5


def explain(dataset: str, images: str, config: ValidationConfig, row: str) -> str:
    """A text about a row.

    Args:
        dataset: as in `dico.validation.validate`.
        images: as in `dico.validation.validate`.
        config: settings.
        row: its number from 0 in the order of the report, its id, its image's name, or the end of
            its place, such as ``data.csv:17``.

    Raises:
        DataError: no row is called so.
    """
    columns = Columns.named(config.image_column, config.caption_column, config.where)
    source = detect(dataset, images, config.format, columns)
    found = list(_matching(source, row))
    if not found:
        raise DataError(
            f"{dataset}: no row {row!r}: give its number from 0, its id, or "
            "FILE:LINE of a text table or of JSON lines"
        )
    return "\n\n".join(_text(number, entry, source, config) for number, entry in found)


def _matching(source: Dataset, row: str) -> Iterator[tuple[int, Entry]]:
    """The row of a number, or up to five rows of a name."""
    num_found = 0
    for number, entry in enumerate(read_entries(source, pixels=True)):
        named = entry.image_id == row or row in entry.names.values()
        placed = any(_is_place(where, row) for where in (entry.where, *entry.other_places))
        if str(number) == row or named or placed:
            yield number, entry
            num_found += 1
            if (row.isdigit() and str(number) == row) or num_found == _MAX_ROWS:
                return


def _is_place(where: str, row: str) -> bool:
    return where == row or where.endswith((f"/{row}", f", {row}"))


def _text(number: int, entry: Entry, source: Dataset, config: ValidationConfig) -> str:
    lines = [
        f"row          {number}, {entry.where}",
        f"format       {source.format}: {FORMATS[source.format]}",
        f"id           {entry.image_id or '(none)'}",
    ]
    lines += [f"{name:<12} {value}" for name, value in entry.names.items()]
    lines.append(f"image        {_image(entry, config)}")
    lines.append(f"split        {entry.split or _split_outside(entry)}")
    if entry.num_rows > 1:
        others = ", ".join(where.rpartition("/")[2] for where in entry.other_places[:5])
        lines.append(
            f"joined       {entry.num_rows} rows of this image{f': also {others}' if others else ''}"
        )
    for caption in entry.captions:
        lines.append(f"caption      {_caption(caption, config)}")
    for code, caption in entry.left_out:
        lines.append(f"left out     {printable(str(caption))}  [{code}: {KINDS[code].title}]")
    for code, detail in entry.findings:
        lines.append(f"finding      {code}: {KINDS[code].title} ({printable(detail, 300)})")
        lines.append(f"             {KINDS[code].advice}")
    return "\n".join(lines)


def _split_outside(entry: Entry) -> str:
    """What becomes of an image whose row has no split."""
    told = split_of_folder(parent(entry.uri)) if entry.uri else -1
    made = "made from the content of the image"
    if told < 0:
        return f"(none: {made})"
    return f"(none: {SPLITS[told]}, by its folder, where all images lie in folders of splits; else {made})"


def _caption(caption: object, config: ValidationConfig) -> str:
    found = check_caption(caption, config.max_caption_chars)
    if not found:
        return normalise_caption(str(caption))
    reasons = ", ".join(f"{code}: {KINDS[code].title}" for code, _ in found)
    return f"{printable(str(caption))}  [{reasons}]"


def _image(entry: Entry, config: ValidationConfig) -> str:
    if not entry.uri:
        return "(none)"
    if config.image_check == "skip" or is_address(entry.uri):
        return entry.uri
    facts = inspect_once(entry.uri, entry.image_bytes, config)
    if facts.code:
        return f"{entry.uri}  [{facts.code}: {facts.detail}]"
    return f"{entry.uri}  ({facts.width_px} x {facts.height_px} px)"
