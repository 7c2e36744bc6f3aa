"""A list of captions is a list wherever it is written, and what is left out of it is named."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dico.data.formats import detect, read_entries
from dico.data.formats.cells import looks_like_list, unpack
from dico.data.formats.reading import Reading
from tests.data.test_layouts import entries, photo, tar, write_images

TWO = ["a dog's bowl", 'a man says "hi", and goes']


@pytest.mark.parametrize(
    "cell",
    [
        "array(['a dog', 'a cat'], dtype=object)",
        "[array(['a dog'], dtype='<U5'), array(['a cat'], dtype='<U5')]",
        "[['a dog'], ['a cat']]",
        '[["a dog"], ["a cat"]]',
        '{"a dog","a cat"}',
        "['a dog'\n 'a cat']",
        '{"captions": ["a dog", "a cat"]}',
        "{'raw': ['a dog', 'a cat'], 'sentid': [1, 2]}",
    ],
)
def test_a_cell_of_any_spelling(tmp_path, cell):
    write_images(tmp_path, "a.jpg")
    (tmp_path / "d.jsonl").write_text(json.dumps({"image": "a.jpg", "caption": cell}) + "\n")
    (entry,) = entries(tmp_path / "d.jsonl")
    assert (entry.captions, entry.findings) == (["a dog", "a cat"], [])


@pytest.mark.parametrize("text", ['("hi" says a man)', "a [dog]", "array of boats", "{a} dog", "("])
def test_a_text_with_brackets_stays_one_caption(tmp_path, text):
    write_images(tmp_path, "a.jpg")
    (tmp_path / "d.jsonl").write_text(json.dumps({"image": "a.jpg", "caption": text}) + "\n")
    assert entries(tmp_path / "d.jsonl")[0].captions == [text]


def test_what_no_text_is_in_a_list_stays_to_be_named():
    assert looks_like_list("['a dog', None, nan]")
    assert unpack("['a dog', None, nan]") == ["a dog", None, None]


@pytest.mark.parametrize("write", [json.dumps, repr])
def test_a_list_in_a_text_beside_its_image(tmp_path, write):
    write_images(tmp_path, "s/a.jpg")
    (tmp_path / "s/a.txt").write_text(write(TWO))
    tar(tmp_path / "d.tar", {"a.jpg": photo(1), "a.txt": write(TWO).encode()})
    for dataset in (tmp_path / "s", tmp_path / "d.tar"):
        assert [entry.captions for entry in entries(dataset)] == [TWO]


@pytest.mark.parametrize("said", [TWO, json.dumps(TWO), [[TWO[0]], [TWO[1]]]])
def test_a_list_in_cocos_annotation(tmp_path, said):
    write_images(tmp_path, "a.jpg")
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"image_id": 1, "caption": said}],
    }
    (tmp_path / "d.json").write_text(json.dumps(coco))
    assert entries(tmp_path / "d.json")[0].captions == TWO


def test_captions_among_cocos_images(tmp_path):
    write_images(tmp_path, "a.jpg")
    (tmp_path / "d.json").write_text(
        json.dumps({"images": [{"id": 1, "file_name": "a.jpg", "captions": TWO}]})
    )
    assert entries(tmp_path / "d.json")[0].captions == TWO


@pytest.mark.parametrize(
    "column",
    [[{"raw": TWO, "sentid": [1, 2]}], [[{"raw": text} for text in TWO]], [[[t] for t in TWO]]],
    ids=["lists in an object", "objects in a list", "lists in a list"],
)
def test_nested_columns_of_a_table(tmp_path, column):
    write_images(tmp_path, "a.jpg")
    pq.write_table(pa.table({"image": ["a.jpg"], "sentences": column}), tmp_path / "d.parquet")
    assert entries(tmp_path / "d.parquet")[0].captions == TWO


def test_what_two_columns_say_counts_once_and_is_named(tmp_path):
    write_images(tmp_path, "a.jpg")
    row = {"image": "a.jpg", "caption_str": TWO, "reference_strs": TWO}
    (tmp_path / "d.jsonl").write_text(json.dumps(row) + "\n")
    (entry,) = entries(tmp_path / "d.jsonl")
    assert entry.captions == TWO
    assert entry.left_out == [("caption_twice_in_sample", text) for text in TWO]


def test_columns_that_are_not_read_are_counted(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    rows = [
        {"image": "a.jpg", "caption": "a dog", "alt_text": "another text", "Width": 4},
        {"image": "b.jpg", "caption": "a cat", "id": "7", "split": "train"},
    ]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    readings: list[Reading] = []
    list(read_entries(detect(str(tmp_path / "d.jsonl")), readings=readings))
    assert readings[0].not_read() == {"column alt_text": 1, "column width": 1}
