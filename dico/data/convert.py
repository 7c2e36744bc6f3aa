"""Datasets and manifests written in another format, images left where they are."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import pyarrow.parquet as pq

from dico.data.captions import check_caption, normalise_caption, printable
from dico.data.entries import Entry
from dico.data.formats import Columns, detect, read_entries
from dico.data.formats.columns import KNOWN_NAMES
from dico.data.manifest import Record, iter_manifest, write_manifest
from dico.data.splits import split_of
from dico.errors import DataError, UsageError
from dico.storage import atomic_write

_DATASET_SPLITS = {"train": "train", "validation": "val", "test": "test", "": ""}


def read_records(
    dataset: str,
    images: str = "",
    format_name: str = "",
    left_out: Counter[str] | None = None,
    columns: Columns = KNOWN_NAMES,
) -> Iterator[Record]:
    """Records of a manifest, or of a dataset in any format without its images being opened.

    ``left_out`` gets the captions that the dataset itself says not to use, or says twice.

    Raises:
        DataError: a row of the dataset is broken; validation lists all of them.
    """
    if is_manifest(dataset):
        yield from iter_manifest(dataset)
        return
    for entry in read_entries(detect(dataset, images, format_name, columns)):
        unlisted = any(code == "split_unlisted" for code, _ in entry.findings)
        if left_out is not None:
            left_out.update(code for code, _ in entry.left_out)
            left_out.update(["split_unlisted"] * len(entry.captions) * unlisted)
        if (entry.captions or not entry.left_out) and not unlisted:
            yield _record(entry)


def is_manifest(path: str) -> bool:
    """Whether a file is a manifest, and not a Parquet table of a user."""
    if not path.endswith(".parquet") or not Path(path).is_file():
        return False
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, ValueError):
        return False
    return b"dico.manifest.format" in metadata


def convert(records: Iterable[Record], output: str | Path, format_name: str) -> int:
    """Writes records as a dataset; returns their number.

    Raises:
        UsageError: an unknown output format.
    """
    writers: dict[str, Callable[[Iterable[Record], IO[str]], int]] = {
        "jsonl": _write_jsonl,
        "csv": _write_csv,
        "karpathy": _write_karpathy,
        "coco": _write_coco,
    }
    if format_name not in writers:
        raise UsageError(f"format {format_name!r}: choose one of {', '.join(writers)}")
    with (
        atomic_write(output) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as file,
    ):
        return writers[format_name](records, file)


def split_manifest(
    manifest: str | Path, output: str | Path, validation_share: float, test_share: float
) -> dict[str, int]:
    """Gives every record a split by its image's content; returns the counts.

    The same image always falls into the same split, whatever else the manifest holds.
    """
    counts: Counter[str] = Counter()

    def resplit() -> Iterator[Record]:
        for record in iter_manifest(manifest):
            split = split_of(record.sha256 or record.uri, validation_share, test_share)
            counts[split] += 1
            yield replace(record, split=split)

    write_manifest(resplit(), output)
    return dict(counts)


def statistics(records: Iterable[Record]) -> dict[str, object]:
    """Counts and distributions of a dataset, as plain JSON values."""
    splits: Counter[str] = Counter()
    flags: Counter[str] = Counter()
    words: Counter[str] = Counter()
    lengths: Counter[int] = Counter()
    captions_per_image: Counter[int] = Counter()
    num_bytes = 0
    for record in records:
        splits[record.split or "(none)"] += 1
        flags.update(record.flags)
        num_bytes += record.num_bytes
        captions_per_image[len(record.captions)] += 1
        for caption in record.captions:
            tokens = caption.lower().split()
            lengths[len(tokens)] += 1
            words.update(tokens)
    return {
        "num_images": sum(splits.values()),
        "splits": dict(sorted(splits.items())),
        "num_captions": sum(lengths.values()),
        "captions_per_image": dict(sorted(captions_per_image.items())),
        "words_per_caption": {f"{q:.0%}": _quantile(lengths, q) for q in (0.05, 0.5, 0.95, 1.0)},
        "num_different_words": len(words),
        "most_frequent_words": [word for word, _ in words.most_common(20)],
        "gigabytes": round(num_bytes / 1e9, 6) if num_bytes else None,
        "flags": dict(flags.most_common()),
    }


def _quantile(counts: Counter[int], share: float) -> int:
    target, total = share * sum(counts.values()), 0
    for value in sorted(counts):
        total += counts[value]
        if total >= target:
            return value
    return 0


def _record(entry: Entry) -> Record:
    broken = [detail for code, detail in entry.findings if code != "row_repaired"]
    captions = [c for c in entry.captions if isinstance(c, str) and not _unreadable(c)]
    if broken or not entry.uri or len(captions) < len(entry.captions):
        unreadable = next((c for c in entry.captions if c not in captions), "")
        detail = (broken or ([] if entry.uri else ["no image"]) or [_why(unreadable)])[0]
        raise DataError(f"{entry.where}: {detail}; run `dico validate` to see all that is wrong")
    return Record(
        image_id=entry.image_id,
        uri=entry.uri,
        sha256="",
        num_bytes=0,
        width_px=0,
        height_px=0,
        captions=tuple(normalise_caption(caption) for caption in captions),
        split=entry.split,
        positive_uris=tuple(entry.positive_uris),
        positive_captions=tuple(c for c in entry.positive_captions if isinstance(c, str)),
    )


def _why(caption: object) -> str:
    """Why a caption cannot be read, and what to do."""
    if isinstance(caption, str):
        return f"a caption that is not UTF-8 ({printable(caption, 60)}); save the file as UTF-8"
    return "a caption that is not text"


def _unreadable(caption: str) -> bool:
    return any(code == "caption_encoding" for code, _ in check_caption(caption, len(caption)))


def _write_jsonl(records: Iterable[Record], file: IO[str]) -> int:
    count = 0
    for record in records:
        count += 1
        row: dict[str, object] = {
            "id": record.image_id,
            "image": record.uri,
            "captions": record.captions,
            "split": _DATASET_SPLITS[record.split],
            "positive_images": record.positive_uris,
            "positive_captions": record.positive_captions,
        }
        kept = {key: value for key, value in row.items() if value}
        file.write(json.dumps(kept, ensure_ascii=False) + "\n")
    return count


def _write_csv(records: Iterable[Record], file: IO[str]) -> int:
    writer, count = csv.writer(file), 0
    writer.writerow(["id", "image", "split", "caption"])
    for record in records:
        count += 1
        for caption in record.captions:
            split = _DATASET_SPLITS[record.split]
            writer.writerow([record.image_id, record.uri, split, caption])
    return count


def _write_karpathy(records: Iterable[Record], file: IO[str]) -> int:
    file.write('{"dataset": "dico", "images": [')
    count = sentence = 0
    for count, record in enumerate(records, 1):
        folder, _, name = record.uri.rpartition("/")
        sentences = [
            {"raw": c, "tokens": c.lower().split(), "imgid": count - 1, "sentid": sentence + i}
            for i, c in enumerate(record.captions)
        ]
        sentence += len(sentences)
        image = {
            "id": record.image_id,
            "imgid": count - 1,
            "filepath": folder,
            "filename": name,
            "split": _DATASET_SPLITS[record.split],
            "sentids": [s["sentid"] for s in sentences],
            "sentences": sentences,
        }
        file.write(("," if count > 1 else "") + "\n" + json.dumps(image, ensure_ascii=False))
    file.write("\n]}\n")
    return count


def _write_coco(records: Iterable[Record], file: IO[str]) -> int:
    """COCO's ids are integers: the row's number, where the record's own is not."""
    annotations: list[str] = []
    file.write('{"info": {"description": "dico"}, "images": [')
    count = 0
    for count, record in enumerate(records, 1):
        image_id = int(record.image_id) if record.image_id.isdigit() else count
        image = {
            "id": image_id,
            "file_name": record.uri,
            "width": record.width_px,
            "height": record.height_px,
            "split": _DATASET_SPLITS[record.split],
        }
        file.write(("," if count > 1 else "") + "\n" + json.dumps(image, ensure_ascii=False))
        for caption in record.captions:
            row = {"id": len(annotations) + 1, "image_id": image_id, "caption": caption}
            annotations.append(json.dumps(row, ensure_ascii=False))
    file.write('\n], "annotations": [\n' + ",\n".join(annotations) + "\n]}\n")
    return count
