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


@pytest.mark.parametrize(
    "lines",
    [
        ["a.jpg\ta dog runs\ta brown dog by the sea", "b.jpg\ta cat sits\tthe cat is here"],
        ["a.jpg,a dog runs,a brown dog by the sea", "b.jpg,a cat sits,the cat is here"],
    ],
)
def test_several_captions_in_a_line_without_header_are_all_captions(tmp_path, lines):
    write_images(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    more = lines[0].replace("a.jpg", "c.jpg")
    (tmp_path / "captions.txt").write_text("\n".join([*lines, more]))
    found = {entry.image_id: entry.captions for entry in entries(tmp_path / "captions.txt")}
    assert found["a.jpg"] == ["a dog runs", "a brown dog by the sea"]
    assert found["b.jpg"] == ["a cat sits", "the cat is here"]


def test_a_cell_without_header_that_is_no_caption_is_named(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "captions.txt").write_text("a.jpg\tdog\t0\ta dog runs\nb.jpg\tcat\t0\ta cat sits\n")
    readings = []
    found = list(read_entries(detect(str(tmp_path / "captions.txt")), readings=readings))
    assert [entry.captions for entry in found] == [["a dog runs"], ["a cat sits"]]
    assert [name.partition(" of")[0] for name in readings[0].not_read()] == ["column cell_2"]


@pytest.mark.parametrize("column", ["file_name", "image_path"])
@pytest.mark.parametrize("other", [1, "1", "https://example.org/1.jpg"])
def test_a_files_name_says_more_than_a_number_or_an_address(tmp_path, column, other):
    write_images(tmp_path, "0.jpg", "1.jpg")
    rows = [{"image": other, column: "0.jpg", "caption": "a dog"}]
    (tmp_path / "d.json").write_text(json.dumps(rows))
    (entry,) = entries(tmp_path / "d.json")
    assert (entry.uri, entry.findings) == (f"{tmp_path}/0.jpg", [])


def test_escapes_stay_where_backslashes_escape_quotes(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    text = 'image,caption\na.jpg,"a \\"big\\" dog"\nb.jpg,a caf\\u00e9.\\nA \\\\ here\n'
    (tmp_path / "d.csv").write_text(text)
    said = [entry.captions[0] for entry in entries(tmp_path / "d.csv")]
    assert said == ['a "big" dog', "a caf\\u00e9.\\nA \\ here"]


def test_no_bytes_beside_a_path_are_no_image(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    rows = [{"image": {"bytes": b"", "path": name}, "text": "a dog"} for name in ("a.jpg", "b.jpg")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    found = entries(tmp_path / "d.parquet")
    assert [entry.uri for entry in found] == [f"{tmp_path}/a.jpg", f"{tmp_path}/b.jpg"]
