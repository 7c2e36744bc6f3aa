"""A manifest comes back as it was written, and no flipped bit of it goes unnoticed."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dico.data.manifest import SCHEMA, Record, read_manifest, write_manifest
from dico.errors import DataError

RECORDS = [
    Record(f"id{i}", f"/photos/{i}.jpg", "ab" * 32, 1000 + i, 640, 480, (f"dog {i}", "a cat"),
           "train" if i % 3 else "test", positive_captions=("a pet",))
    for i in range(30)
]  # fmt: skip


def test_records_come_back(tmp_path: Path) -> None:
    write_manifest(RECORDS, tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet") == RECORDS
    assert read_manifest(tmp_path / "m.parquet", "test") == RECORDS[::3]
    assert pq.read_table(tmp_path / "m.parquet").num_rows == 30  # any reader of Parquet reads it


def test_the_same_records_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_manifest(RECORDS, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    write_manifest(RECORDS, path)
    good = path.read_bytes()
    for place in random.Random(0).sample(range(8 * len(good)), 200):
        data = bytearray(good)
        data[place // 8] ^= 1 << place % 8
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"m\.parquet"):
            read_manifest(path)


def test_a_manifest_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    columns = {name: [getattr(r, name) for r in RECORDS] for name in SCHEMA.names}
    old = SCHEMA.with_metadata({"dico.manifest.format": "1"})
    pq.write_table(pa.table(columns, schema=old), path)
    with pytest.raises(DataError, match=r"not a manifest of format 3; `dico validate` makes one"):
        read_manifest(path)
