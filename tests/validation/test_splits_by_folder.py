"""Images without a split: the folders in which they lie tell it, where they tell it of all."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from dico.data.manifest import read_manifest
from dico.validation.config import ValidationConfig
from dico.validation.validate import validate


def photo(seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 48, 3), np.uint8)
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


@pytest.mark.parametrize(
    ("folders", "told"),
    [
        (["train", "val/cats", "test"], ["train", "validation", "test"]),
        (["train", "train", "train"], None),  # one split alone is a folder's name, no division
        (["train", "other", "test"], None),
        (["val", "test", "test"], None),
    ],
)
def test_folders_of_splits(tmp_path, folders, told):
    rows = []
    for number, folder in enumerate(folders):
        path = tmp_path / "data" / folder / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo(number))
        rows.append({"image": f"{folder}/{number}.png", "caption": "a dog runs"})
    table = tmp_path / "data" / "metadata.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest = tmp_path / "m.parquet"
    result = validate(str(table), "", ValidationConfig(), manifest, tmp_path / "report")
    assert result.num_split_by_folder == (3 if told else 0)
    if told:
        assert [record.split for record in read_manifest(manifest)] == told


def test_rows_that_say_their_split_are_believed(tmp_path):
    rows = []
    for number, folder in enumerate(("train", "test")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{number}.png").write_bytes(photo(number))
        rows.append({"image": f"{folder}/{number}.png", "caption": "a dog", "split": "train"})
    table = tmp_path / "d.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = validate(str(table), "", ValidationConfig(), tmp_path / "m.parquet", tmp_path / "out")
    assert result.num_split_by_folder == 0
    assert {record.split for record in read_manifest(tmp_path / "m.parquet")} == {"train"}
