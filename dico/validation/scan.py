"""The one streaming pass: every entry read, every caption checked, every image looked at.

Rows go to a Parquet file as they come; only numbers needed to compare rows with each other stay in
memory (about 60 bytes an image and 8 a caption).
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dico.data.captions import check_caption, normalise_caption, printable
from dico.data.entries import SPLIT_NAMES, Entry
from dico.data.manifest import SPLITS
from dico.errors import DataError
from dico.images.embedded import is_embedded_uri
from dico.images.errors import ImageError
from dico.images.facts_cache import FactsCache
from dico.images.inspection import ImageFacts
from dico.images.load import read_image
from dico.images.near_duplicates import SIDE_PX, THUMB_BYTES
from dico.images.sandbox import Inspectors, Limits
from dico.process.limits import num_threads
from dico.process.progress import progress
from dico.storage.uris import is_address, is_remote, parent
from dico.validation.config import ValidationConfig
from dico.validation.findings import KINDS

ROWS_PER_BATCH = 5_000
LONG_CAPTION_CHARS = 50
_LEFT_OUT = ("caption_rejected", "caption_not_chosen")
"""Captions that the dataset, or the user, does not want: an image of nothing else is left out too."""
FINDING = pa.struct([("code", pa.string()), ("detail", pa.string()), ("caption", pa.string())])
SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("uri", pa.string()),
        ("where", pa.string()),
        ("sha256", pa.string()),
        ("num_bytes", pa.int64()),
        ("width_px", pa.int32()),
        ("height_px", pa.int32()),
        ("captions", pa.list_(pa.string())),
        ("split", pa.string()),
        ("positive_uris", pa.list_(pa.string())),
        ("positive_captions", pa.list_(pa.string())),
        ("findings", pa.list_(FINDING)),
        ("num_rows", pa.int32()),
        ("num_read", pa.int32()),
        ("lost", pa.list_(pa.string())),
    ]
)


@dataclass(slots=True)
class Scan:
    """What the pass leaves: rows on disk, and arrays by row."""

    rows_path: Path
    """Parquet file of all rows, in the dataset's order."""
    thumbs_path: Path
    """Raw thumbnails, one of 64 x 64 bytes per row; zero where there is none."""
    num_rows: int = 0
    """Images and broken rows."""
    num_decoded: int = 0
    """Images that were decoded now, not known from the cache."""
    ids: Any = field(default_factory=lambda: array("Q"))
    """Hash of each row's id."""
    contents: Any = field(default_factory=lambda: array("Q"))
    """Hash of each row's image; 0 where it is not usable."""
    splits: Any = field(default_factory=lambda: array("b"))
    """Index of each row's split in train, validation, test; -1 where it has none."""
    folder_splits: Any = field(default_factory=lambda: array("b"))
    """Index of the split that the folder of each row's image is called after; -1 for none, -2 where no
    image is named."""
    caption_hashes: Any = field(default_factory=lambda: array("Q"))
    """Hash of each usable caption."""
    caption_is_long: Any = field(default_factory=lambda: array("b"))
    """Whether each usable caption is long enough to be no coincidence."""
    caption_rows: Any = field(default_factory=lambda: array("L"))
    """Row of each usable caption."""

    def thumbs(self) -> npt.NDArray[np.uint8]:
        """Thumbnails of all rows: (N, 64, 64), on disk."""
        if not self.num_rows:
            return np.empty((0, SIDE_PX, SIDE_PX), np.uint8)
        return np.memmap(self.thumbs_path, np.uint8, "r", 0, (self.num_rows, SIDE_PX, SIDE_PX))

    def num_split_by_folder(self) -> int:
        """Takes the folders' splits where no row has one and all images lie in such; how many."""
        told = np.frombuffer(self.folder_splits, np.int8)
        splits = set(np.unique(told[told != -2]).tolist())
        if len(splits) < 2 or not splits >= {0} or -1 in splits or max(self.splits) >= 0:
            return 0
        self.splits = array("b", np.maximum(told, -1).tobytes())
        return int(np.count_nonzero(told >= 0))

    def release(self) -> None:
        """Gives back the memory of what only serves to compare rows with each other."""
        for name in ("ids", "contents", "caption_hashes", "caption_is_long", "caption_rows"):
            setattr(self, name, array("B"))

    def batches(self, columns: list[str] | None = None) -> Iterator[list[dict[str, Any]]]:
        """All rows, in batches."""
        file = pq.ParquetFile(self.rows_path)
        for batch in file.iter_batches(batch_size=ROWS_PER_BATCH, columns=columns):
            yield batch.to_pylist()


def scan(entries: Iterable[Entry], work: Path, cache: Path, config: ValidationConfig) -> Scan:
    """Runs the pass over ``entries``.

    Args:
        entries: images as the dataset's format gives them.
        work: folder for the rows.
        cache: file of what was seen in images before.
        config: settings.
    """
    result = Scan(work / "rows.parquet", work / "thumbs.bin")
    with (
        pq.ParquetWriter(result.rows_path, SCHEMA, compression="zstd") as writer,
        open(result.thumbs_path, "wb") as thumbs,
        progress("validation", unit="image") as bar,
    ):
        pending: list[dict[str, Any]] = []
        for entry, facts in _inspected(entries, cache, config, result):
            pending.append(_row(entry, facts, config, result, thumbs))
            if len(pending) >= ROWS_PER_BATCH:
                writer.write_table(pa.Table.from_pylist(pending, SCHEMA))
                pending.clear()
            bar.advance(1)
        writer.write_table(pa.Table.from_pylist(pending, SCHEMA))
    return result


def _inspected(
    entries: Iterable[Entry], cache_path: Path, config: ValidationConfig, result: Scan
) -> Iterator[tuple[Entry, ImageFacts | None]]:
    if config.image_check == "skip":
        yield from ((entry, None) for entry in entries)
        return
    limits = Limits(config.max_pixels, config.max_image_bytes, config.max_image_seconds)
    num_workers = config.num_workers or num_threads()
    with FactsCache(cache_path, limits) as cache, Inspectors(num_workers, limits) as inspectors:

        def inspect_entry(entry: Entry) -> list[tuple[str, ImageFacts, str]]:
            data, entry.image_bytes = entry.image_bytes, None
            if is_address(entry.uri):
                return []
            seen = [_inspect(inspectors, cache, uri, None) for uri in entry.positive_uris]
            return [_inspect(inspectors, cache, entry.uri, data), *seen] if entry.uri else []

        for entry, seen in inspectors.map(inspect_entry, entries):
            for uri, facts, stamp in seen:
                result.num_decoded += bool(stamp)
                if stamp:
                    cache.put(uri, stamp, facts)
            _drop_unusable_positives(entry, seen[1:])
            yield entry, seen[0][1] if seen else None


def inspect_once(uri: str, data: bytes | None, config: ValidationConfig) -> ImageFacts:
    """Inspects one image by the limits of ``config``."""
    limits = Limits(config.max_pixels, config.max_image_bytes, config.max_image_seconds)
    with Inspectors(1, limits) as inspectors:
        if data is None and (is_remote(uri) or is_embedded_uri(uri)):
            try:
                data = read_image(uri, max_bytes=limits.max_bytes)
            except DataError as error:
                code = error.code if isinstance(error, ImageError) else "image_missing"
                return ImageFacts(code, str(error))
        return inspectors.inspect(uri, data)


def _inspect(
    inspectors: Inspectors, cache: FactsCache, uri: str, data: bytes | None
) -> tuple[str, ImageFacts, str]:
    """The image's URI, its facts, and the stamp under which to keep them if they are new."""
    stamp = cache.stamp(uri) if data is None or not is_remote(uri) else ""
    facts = cache.get(uri, stamp)
    if facts is not None:
        return uri, facts, ""
    if data is None and (is_remote(uri) or is_embedded_uri(uri)):
        try:
            data = read_image(uri, max_bytes=cache.limits.max_bytes)
        except DataError as error:
            code = error.code if isinstance(error, ImageError) else "image_missing"
            return uri, ImageFacts(code, str(error)), stamp
    return uri, inspectors.inspect(uri, data), stamp


def _drop_unusable_positives(entry: Entry, seen: list[tuple[str, ImageFacts, str]]) -> None:
    entry.findings += [("positive_unusable", facts.detail) for _, facts, _ in seen if facts.code]
    entry.positive_uris = [uri for uri, facts, _ in seen if not facts.code]


def _row(
    entry: Entry,
    facts: ImageFacts | None,
    config: ValidationConfig,
    result: Scan,
    thumbs: IO[bytes],
) -> dict[str, Any]:
    """Adds one entry to the arrays; returns its row."""
    findings: list[tuple[str, str, str | None]] = []
    findings += [(code, detail, None) for code, detail in entry.findings]
    captions, positives = [], []
    lost = [code for code, _ in entry.left_out]
    findings += [(c, "", _shown(text)) for c, text in entry.left_out if c in _LEFT_OUT]
    for caption in entry.captions:
        found = check_caption(caption, config.max_caption_chars)
        findings += [(code, detail, _shown(caption)) for code, detail in found]
        wrong = next((code for code, _ in found if KINDS[code].severity != "warning"), "")
        if wrong:
            lost.append(wrong)
            continue
        captions.append(normalise_caption(caption))
        num_words = captions[-1].count(" ") + 1
        if num_words > config.max_caption_words:
            findings.append(("caption_cut", f"{num_words} words", _shown(caption)))
    for caption in entry.positive_captions:
        found = check_caption(caption, config.max_caption_chars)
        if any(KINDS[code].severity != "warning" for code, _ in found):
            findings.append(("positive_unusable", found[0][1], _shown(caption)))
        else:
            positives.append(normalise_caption(caption))
    if len(set(captions)) < len(captions):
        findings.append(("caption_duplicate", printable(_repeated(captions)), None))
    broken_row = any(KINDS[code].severity != "warning" for code, _ in entry.findings)
    if len(captions) < config.min_captions and not broken_row:
        detail = f"{len(captions)} usable captions, and {config.min_captions} are required"
        marked = not entry.captions and any(c in _LEFT_OUT for c, _ in entry.left_out)
        findings.append(("captions_rejected" if marked else "captions_missing", detail, None))
    if not entry.image_id and not broken_row:
        findings.append(("id_missing", entry.where, None))
    findings += _image_findings(facts, config)
    usable = facts is not None and not facts.code
    _remember(entry, facts if usable else None, captions, config, result)
    if config.image_check == "decode":
        thumbs.write(facts.thumbnail if usable and facts else bytes(THUMB_BYTES))
    return {
        "image_id": printable(entry.image_id, 1_000),
        "uri": entry.uri.encode("utf-8", "replace").decode(),
        "where": printable(entry.where, 1_000),
        "sha256": facts.sha256 if facts else "",
        "num_bytes": facts.num_bytes if facts else 0,
        "width_px": facts.width_px if facts else 0,
        "height_px": facts.height_px if facts else 0,
        "captions": captions,
        "split": entry.split,
        "positive_uris": entry.positive_uris,
        "positive_captions": positives,
        "findings": [
            {"code": code, "detail": printable(detail, 300), "caption": caption}
            for code, detail, caption in findings
        ],
        "num_rows": entry.num_rows,
        "num_read": len(entry.captions) + len(entry.left_out),
        "lost": lost,
    }


def _image_findings(
    facts: ImageFacts | None, config: ValidationConfig
) -> list[tuple[str, str, None]]:
    if facts is None:
        return []
    if facts.code:
        return [(facts.code, facts.detail, None)]
    findings: list[tuple[str, str, None]] = [(flag, "", None) for flag in facts.flags]
    if min(facts.width_px, facts.height_px) < config.min_side_px:
        detail = f"{facts.width_px} x {facts.height_px} px, and the least is {config.min_side_px}"
        findings.append(("image_too_small", detail, None))
    return findings


def _remember(
    entry: Entry,
    facts: ImageFacts | None,
    captions: list[str],
    config: ValidationConfig,
    result: Scan,
) -> None:
    content = 0
    if facts is not None:
        content = int(facts.sha256[:16], 16) or 1
    elif config.image_check == "skip" and entry.uri:
        content = _hash(entry.uri) or 1
    result.ids.append(_hash(entry.image_id) if entry.image_id else 0)
    result.contents.append(content)
    result.splits.append(SPLITS.index(entry.split) if entry.split in SPLITS else -1)
    result.folder_splits.append(split_of_folder(parent(entry.uri)) if entry.uri else -2)
    for caption in captions:
        result.caption_hashes.append(_hash(caption))
        result.caption_is_long.append(len(caption) >= LONG_CAPTION_CHARS)
        result.caption_rows.append(result.num_rows)
    result.num_rows += 1


@lru_cache(maxsize=4_096)
def split_of_folder(folder: str) -> int:
    """Index of the split that the last folders of a path tell: ``train/cats``; -1 for none."""
    for name in folder.split("/")[:-4:-1]:
        if name.lower() in SPLIT_NAMES and name:
            return SPLITS.index(SPLIT_NAMES[name.lower()])
    return -1


def _hash(text: str) -> int:
    return hash(text) & 0xFFFFFFFFFFFFFFFF


def _shown(caption: object) -> str:
    return printable(caption if isinstance(caption, str) else repr(caption), 300)


def _repeated(captions: list[str]) -> str:
    return next(c for i, c in enumerate(captions) if c in captions[:i])
