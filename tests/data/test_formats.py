"""Every format gives the same dataset, and no format is guessed wrongly."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dico.data.convert import convert, read_records, split_manifest, statistics
from dico.data.entries import Entry
from dico.data.formats import detect, read_entries
from dico.data.manifest import Record, fingerprint, read_manifest, write_manifest
from dico.data.shards import write_shards
from dico.errors import DataError, UsageError
from tests.data.images import write_dataset

Known = dict[str, tuple[list[str], str]]


def seen(dataset: Path | str, images: str = "", format_name: str = "") -> Known:
    """Image's name to captions and split."""
    entries: list[Entry] = list(read_entries(detect(str(dataset), images, format_name)))
    assert not any(entry.findings for entry in entries)
    names = [entry.uri.rpartition("/")[2].rpartition(":")[2] for entry in entries]
    return {n: (e.captions, e.split) for n, e in zip(names, entries, strict=True)}


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    """A dataset of 12 images as records with digests, and as ``in/m.parquet``."""
    import hashlib

    write_dataset(tmp_path / "in", 12)
    found = []
    for index, record in enumerate(read_records(str(tmp_path / "in/dataset.jsonl"))):
        digest = hashlib.sha256(Path(record.uri).read_bytes()).hexdigest()
        values = {name: getattr(record, name) for name in Record.__dataclass_fields__}
        found.append(Record(**{**values, "sha256": digest, "image_id": str(index + 1)}))
    write_manifest(found, tmp_path / "in/m.parquet")
    return found


def expected(records: list[Record]) -> Known:
    return {r.uri.rpartition("/")[2]: (list(r.captions), r.split) for r in records}


@pytest.mark.parametrize("name", ["jsonl", "csv", "karpathy", "coco"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_dataset_survives_each_format(
    tmp_path: Path, records: list[Record], name: str, zipped: bool
) -> None:
    suffix = {"jsonl": ".jsonl", "csv": ".csv"}.get(name, ".json")
    path = tmp_path / f"out{suffix}"
    assert convert(read_records(str(tmp_path / "in/m.parquet")), path, name) == 12
    if zipped:
        packed = tmp_path / f"out{suffix}.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path = packed
    assert detect(str(path)).format == name
    assert seen(path) == expected(records)


@pytest.mark.parametrize("form", ["json", "txt"])
def test_a_dataset_survives_shards(tmp_path: Path, records: list[Record], form: str) -> None:
    names = write_shards(tmp_path / "in/m.parquet", str(tmp_path / "out"), form, 8_000)
    assert len(names) > 3
    assert {n.partition("-")[0] for n in names} == {"train", "validation", "test"}
    entries = list(read_entries(detect(str(tmp_path / "out"))))
    got = {e.image_id: (e.captions, e.split) for e in entries}
    assert got == {r.image_id: (list(r.captions), r.split) for r in records}
    again = tmp_path / "again"
    write_shards(tmp_path / "in/m.parquet", str(again), form, 8_000)
    assert [(again / n).read_bytes() for n in names] == [
        (tmp_path / "out" / n).read_bytes() for n in names
    ]


def test_a_parquet_table(tmp_path: Path, records: list[Record]) -> None:
    rows = [{"image": r.uri, "captions": list(r.captions), "split": r.split} for r in records]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    assert seen(tmp_path / "t.parquet") == expected(records)


@pytest.mark.parametrize(
    "line", ["{name}#{n}\t{caption}", "{name}| {n}| {caption}", "{name},{caption}"]
)
def test_a_folder_with_a_captions_file(tmp_path: Path, records: list[Record], line: str) -> None:
    lines = [
        line.format(name=r.uri.rpartition("/")[2], n=n, caption=c)
        for r in records
        for n, c in enumerate(r.captions)
    ]
    (tmp_path / "in/dataset.jsonl").unlink()
    (tmp_path / "in/m.parquet").unlink()
    (tmp_path / "in/captions.txt").write_text("\n".join(lines) + "\n")
    assert seen(tmp_path / "in") == {k: (c, "") for k, (c, _) in expected(records).items()}


def test_files_with_their_splits_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        text = {"images": [{"id": 1, "file_name": f"{name}.jpg"}],
                "annotations": [{"image_id": 1, "caption": f"a {name} dog"}]}  # fmt: skip
        (tmp_path / f"{name}.json").write_text(json.dumps(text))
    dataset = f"train={tmp_path}/a.json,val={tmp_path}/b.json"
    assert seen(dataset) == {"a.jpg": (["a a dog"], "train"), "b.jpg": (["a b dog"], "validation")}


def test_captions_of_an_unknown_image_are_named(tmp_path: Path) -> None:
    text = {"images": [{"id": 1, "file_name": "a.jpg"}],
            "annotations": [{"image_id": 2, "caption": "a dog"}]}  # fmt: skip
    (tmp_path / "d.json").write_text(json.dumps(text))
    entries = list(read_entries(detect(str(tmp_path / "d.json"))))
    assert [[code for code, _ in e.findings] for e in entries] == [[], ["image_unknown_id"]] or [
        [code for code, _ in e.findings] for e in entries
    ] == [["image_unknown_id"], []]


def test_an_ambiguous_folder_asks(tmp_path: Path, records: list[Record]) -> None:
    convert(records, tmp_path / "in/d.csv", "csv")
    with pytest.raises(UsageError, match=r"looks like .*csv.*--format"):
        detect(str(tmp_path / "in"))
    (tmp_path / "in/m.parquet").unlink()
    assert detect(str(tmp_path / "in"), format_name="csv").format == "csv"


@pytest.mark.parametrize(
    ("name", "text"), [("d.json", '{"rows": []}'), ("d.txt", "hello"), ("d.bin", "")]
)
def test_an_unknown_format_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match="known"):
        detect(str(tmp_path / name))


def test_real_datasets_are_recognised(real_data: Path) -> None:
    flickr = seen(real_data / "flickr8k" / "dataset_flickr8k.json")
    assert len(flickr) == 866
    assert sorted({split for _, split in flickr.values()}) == ["test", "train", "validation"]
    coco = seen(real_data / "coco_mini" / "annotations")
    assert (len(coco), {len(captions) for captions, _ in coco.values()}) == (217, {5})


def test_the_manifest_and_its_fingerprint(tmp_path: Path, records: list[Record]) -> None:
    path = tmp_path / "in/m.parquet"
    assert read_manifest(path) == records
    assert {r.split for r in read_manifest(path, "test")} == {"test"}
    write_manifest(reversed(records), tmp_path / "r.parquet")
    assert fingerprint(tmp_path / "r.parquet") == fingerprint(path)
    write_manifest(records[1:], tmp_path / "s.parquet")
    assert fingerprint(tmp_path / "s.parquet") != fingerprint(path)
    with pytest.raises(DataError, match="no split"):
        read_manifest(path, "val")
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a manifest"):
        read_manifest(tmp_path / "x.parquet")


def test_splits_by_content_do_not_depend_on_the_rest(tmp_path: Path, records: list[Record]) -> None:
    write_manifest(records[::2], tmp_path / "half.parquet")
    for name, source in (("a", tmp_path / "in/m.parquet"), ("b", tmp_path / "half.parquet")):
        split_manifest(source, tmp_path / f"{name}.parquet", 0.3, 0.3)
    whole = {r.image_id: r.split for r in read_manifest(tmp_path / "a.parquet")}
    assert len(set(whole.values())) > 1
    assert all(whole[r.image_id] == r.split for r in read_manifest(tmp_path / "b.parquet"))


def test_statistics(records: list[Record]) -> None:
    numbers = statistics(records)
    assert numbers["num_images"] == 12
    assert numbers["num_captions"] == 60
    assert numbers["splits"] == {"test": 3, "train": 6, "validation": 3}


def test_an_empty_list_of_images_is_no_dataset(tmp_path):
    path = tmp_path / "empty.json"
    path.write_text('{"images": []}')
    with pytest.raises(DataError, match="no images"):
        detect(str(path))


def test_a_header_that_is_no_csv_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('image,captionpng,"two, of ,them"eval\n')
    (entry,) = read_entries(detect(str(tmp_path / "d.csv")))
    assert [code for code, _ in entry.findings] == ["file_malformed"]


def test_what_conversion_leaves_out_is_counted(tmp_path: Path) -> None:
    from collections import Counter

    rows = [{"image": "a.jpg", "caption": "a dog"},
            {"image": "a.jpg", "caption": "no idea", "is_rejected": True},
            {"image": "b.jpg", "caption": "no idea", "is_rejected": True}]  # fmt: skip
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    left_out: Counter[str] = Counter()
    records = list(read_records(str(tmp_path / "d.jsonl"), left_out=left_out))
    assert [record.captions for record in records] == [("a dog",)]
    assert left_out == {"caption_rejected": 2}
