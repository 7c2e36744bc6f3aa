"""Datasets that hold several of what there should be one: splits' files, languages, ways to say a split."""

import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dico.data.formats import detect, read_entries
from tests.data.test_layouts import codes, entries, write_images


def splits(dataset):
    return {entry.image_id: entry.split for entry in read_entries(detect(dataset))}


def test_files_named_after_splits_are_splits_however_they_are_given(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    train, test = tmp_path / "train.csv", tmp_path / "flickr_test.csv"
    train.write_text("image,caption\na.jpg,a dog\n")
    test.write_text("image,caption\nb.jpg,a cat\n")
    assert splits(f"{train},{test}") == {"a.jpg": "train", "b.jpg": "test"}
    assert splits(str(train)) == {"a.jpg": ""}  # alone it is the dataset, to be divided


@pytest.mark.parametrize("column", ["partition", "Fold", "usage", "data_split", "set_name"])
def test_a_column_that_says_splits_is_the_split(tmp_path, column):
    write_images(tmp_path, *(f"{n}.jpg" for n in range(4)))
    words = ["TRAIN", "test", "val", "holdout"]
    rows = "".join(f"{n}.jpg,a dog,{word}\n" for n, word in enumerate(words))
    (tmp_path / "d.csv").write_text(f"image,caption,{column}\n{rows}")
    found = entries(tmp_path / "d.csv")
    assert [entry.split for entry in found] == ["train", "test", "validation", ""]
    assert codes(found) == ["split_unknown"]


def test_a_fold_that_is_a_number_is_no_split_and_is_named(tmp_path):
    write_images(tmp_path, "0.jpg", "1.jpg")
    (tmp_path / "d.csv").write_text("image,caption,fold\n0.jpg,a dog,0\n1.jpg,a cat,1\n")
    readings = []
    found = list(read_entries(detect(str(tmp_path / "d.csv")), readings=readings))
    assert [(entry.split, entry.findings) for entry in found] == [("", []), ("", [])]
    assert [name for name in readings[0].not_read() if "fold" in name] != []


def test_texts_of_several_languages_are_not_mixed(tmp_path):
    write_images(tmp_path, "a.jpg")
    image = (tmp_path / "a.jpg").read_bytes()
    members = {"0.jpg": image, "0.en.txt": b"a dog", "0.de.txt": b"ein Hund",
               "1.jpg": image, "1.en.txt": b"a dog"}  # fmt: skip
    with tarfile.open(tmp_path / "d.tar", "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    mixed, one = entries(tmp_path / "d.tar")
    assert mixed.findings == [("sample_ambiguous", "texts in de, en: keep those of one language")]
    assert (one.captions, one.findings) == (["a dog"], [])


def test_captions_of_several_languages_in_one_list_are_not_mixed(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    said = [{"text": "a dog", "lang": "en"}, {"text": "ein Hund", "lang": "de"}]
    rows = [{"image": "a.jpg", "captions": said}, {"image": "b.jpg", "captions": said[:1]}]
    (tmp_path / "d.json").write_text(json.dumps(rows))
    mixed, one = entries(tmp_path / "d.json")
    assert codes([mixed]) == ["row_malformed"]
    assert "captions in de, en: write a row for each" in mixed.findings[0][1]
    assert (one.captions, one.findings) == (["a dog"], [])


def test_no_bytes_beside_a_path_are_no_image(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    rows = [{"image": {"bytes": b"", "path": name}, "text": "a dog"} for name in ("a.jpg", "b.jpg")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    found = entries(tmp_path / "d.parquet")
    assert [entry.uri for entry in found] == [f"{tmp_path}/a.jpg", f"{tmp_path}/b.jpg"]
