"""Tables and folders as other tools write them, and texts that several captions share."""

import base64
import csv
import json

import pytest

from dico.data.captions import check_caption
from dico.data.formats import detect, read_entries
from dico.data.formats.cells import looks_like_list, unpack
from dico.errors import DataError
from tests.data.test_layouts import captions, codes, entries, photo, tar, write_images

BOTH = {"a.jpg": ["a dog, running"], "b.jpg": ["a man's bus"]}
TABLES = {
    "a space after commas": 'image, caption\na.jpg, "a dog, running"\nb.jpg, "a man\'s bus"\n',
    "backslashes, as Spark": 'image,caption\na.jpg,"a \\"dog\\", running"\nb.jpg,"a man\'s bus"\n',
    "single quotes": "'image','caption'\n'a.jpg','a dog, running'\n'b.jpg','a man''s bus'\n",
    "apostrophes inside": "image,caption\na.jpg,'a dog, running'\nb.jpg,'a man's bus'\n",
    "single quotes between tabs": "image\tcaption\na.jpg\t'a dog, running'\nb.jpg\t'a man's bus'\n",
    "a comment": "# by a tool\nimage,caption\na.jpg,\"a dog, running\"\nb.jpg,a man's bus\n",
    "a title": "My photos,\n\nimage,caption\na.jpg,\"a dog, running\"\nb.jpg,a man's bus\n",
    "commas at the end": "image,caption\na.jpg,\"a dog, running\",\nb.jpg,a man's bus,\n",
    "old Macintosh": "image,caption\ra.jpg,\"a dog, running\"\rb.jpg,a man's bus\r",
    "a space": "a.jpg a dog, running\nb.jpg a man's bus\n",
    "a colon": "a.jpg: a dog, running\nb.jpg: a man's bus\n",
    "an arrow": "a.jpg => a dog, running\nb.jpg => a man's bus\n",
    "Flickr8k in Chinese": "a.jpg#zhb#0 a dog, running\nb.jpg#zhb#0 a man's bus\n",
}  # fmt: skip


@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES)
def test_tables_of_other_tools(tmp_path, text):
    write_images(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "d.csv").write_text(text, newline="")
    found = captions(tmp_path / "d.csv")
    assert {name: [t.replace('"', "") for t in texts] for name, texts in found.items()} == BOTH


def test_ids_before_a_tab(tmp_path):
    write_images(tmp_path / "images", "ROCO_001.jpg", "ROCO_002.jpg")
    (tmp_path / "captions.txt").write_text("ROCO_001\ta scan of a chest\nROCO_002#1\ta scan\n" * 2)
    found = captions(tmp_path / "captions.txt")
    assert found == {"ROCO_001.jpg": ["a scan of a chest"] * 2, "ROCO_002.jpg": ["a scan"] * 2}


@pytest.mark.parametrize("way", ["columns", "split", "table", "records"])
def test_what_pandas_writes(tmp_path, way):
    import pandas as pd

    write_images(tmp_path, "a.jpg", "b.jpg")
    table = pd.DataFrame({"image": list(BOTH), "caption": [texts[0] for texts in BOTH.values()]})
    (tmp_path / "d.json").write_text(table.to_json(orient=way))
    assert captions(tmp_path / "d.json") == BOTH


@pytest.mark.parametrize(
    "text",
    ['c("a dog", "a cat")', 'list("a dog", "a cat")', '{"a dog","a cat"}', '"[\\"a dog\\", \\"a cat\\"]"'],
)  # fmt: skip
def test_lists_of_r_postgres_and_json_in_json(text):
    assert looks_like_list(text)
    assert unpack(text) == ["a dog", "a cat"]


@pytest.mark.parametrize("mark", [" | ", "||", "&&", "###", "<sep>", " [SEP] "])
def test_captions_that_separators_join(tmp_path, mark):
    write_images(tmp_path, "a.jpg")
    joined = mark.join(["a dog runs", "a brown dog"])
    with open(tmp_path / "d.csv", "w", newline="") as file:
        csv.writer(file).writerows([["image", "captions"], ["a.jpg", joined]])
    (entry,) = entries(tmp_path / "d.csv")
    assert (entry.captions, codes([entry])) == (["a dog runs", "a brown dog"], ["row_repaired"])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a dog runs||a brown dog", "caption_joined"),
        ("a dog runs|a brown dog", "caption_joined"),
        ("[a dog runs, a brown dog]", "caption_joined"),
        ("1. a dog runs 2. a brown dog", "caption_joined"),
        ("(1) a dog runs (2) a brown dog", "caption_joined"),
        ("a dog runs.\\nA cat sits.", "caption_escaped"),
        ("a caf\\u00e9 in Paris", "caption_escaped"),
        ("b'a dog runs'", "caption_escaped"),
        ("'a man's bus'", "caption_quoted"),
        ('"a dog runs"', "caption_quoted"),
        ("\u201ca dog runs\u201d", "caption_quoted"),
        ("I'm sorry, but I can't assist with that request.", "caption_boilerplate"),
        ("As an AI language model, I cannot see images.", "caption_boilerplate"),
        ("The image could not be loaded.", "caption_boilerplate"),
        ("\\N", "caption_boilerplate"),
        ("#N/A", "caption_boilerplate"),
    ],
)
def test_what_is_no_plain_caption_is_named(text, code):
    assert code in [found for found, _ in check_caption(text)]


@pytest.mark.parametrize(
    "text",
    ["'tis the season for dogs", '"Stop" on one sign and on the other "Go"', "a sign (old | new) here",
     "the players' bus", "1 dog and 2 cats", "b's hat is red", "I'm a 12. man", "a man is sorry for his dog", "there is no image on the screen"],
)  # fmt: skip
def test_plain_captions_are_not_accused(text):
    assert check_caption(text) == []


def test_prodigys_answers(tmp_path):
    address = "data:image/jpeg;base64," + base64.b64encode(photo(1)).decode()
    lines = [{"image": address, "caption": "a dog", "answer": a} for a in ("accept", "reject")]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = list(read_entries(detect(str(tmp_path / "d.jsonl")), pixels=True))
    assert [e.captions for e in found] == [["a dog"]]
    assert [e.left_out for e in found] == [[("caption_rejected", "a dog")]]
    assert found[0].image_id == "d-1"


@pytest.mark.parametrize(
    ("mark", "value"),
    [("reject", "x"), ("exclude", True), ("skip", "yes"), ("flagged", 1), ("keep", False), ("decision", "reject")],
)  # fmt: skip
def test_marks_by_other_words(tmp_path, mark, value):
    write_images(tmp_path, "a.jpg")
    (tmp_path / "d.jsonl").write_text(
        json.dumps({"image": "a.jpg", "caption": "bad one", mark: value})
    )
    (entry,) = entries(tmp_path / "d.jsonl")
    assert (entry.captions, entry.left_out) == ([], [("caption_rejected", "bad one")])


@pytest.mark.parametrize(
    ("suffix", "text"),
    [(".jpg.txt", "a dog"), (".jpg.json", '{"title": "0.jpg", "description": "a dog"}'),
     (".jpg.supplemental-metadata.json", '{"title": "0.jpg", "description": "a dog"}')],
)  # fmt: skip
def test_a_text_whose_name_keeps_the_images_suffix(tmp_path, suffix, text):
    for name in ("0", "a b"):
        write_images(tmp_path, f"{name}.jpg")
        (tmp_path / f"{name}{suffix}").write_text(text)
    assert captions(tmp_path) == {"0.jpg": ["a dog"], "a b.jpg": ["a dog"]}


@pytest.mark.parametrize(("images", "texts"), [("images", "captions"), ("train/images", "train/labels"),
                                               ("images/cats", "text_c10/cats")])  # fmt: skip
def test_texts_in_a_folder_of_their_own(tmp_path, images, texts):
    for name in ("0", "1"):
        write_images(tmp_path / images, f"{name}.jpg")
        (tmp_path / texts).mkdir(parents=True, exist_ok=True)
        (tmp_path / texts / f"{name}.txt").write_text(f"a dog {name}\na cat {name}\n")
    assert captions(tmp_path) == {f"{n}.jpg": [f"a dog {n}", f"a cat {n}"] for n in "01"}


def test_a_tar_of_the_folder_itself(tmp_path):
    tar(tmp_path / "d.tar", {"./0.jpg": photo(0), "./0.txt": b"a dog"})
    assert [entry.image_id for entry in entries(tmp_path / "d.tar")] == ["0"]


def test_an_image_of_the_dataset_beside_is_not_taken(tmp_path):
    write_images(tmp_path / "other", "a.jpg")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "d.csv").write_text("image,caption\na.jpg,a dog runs\n")
    (entry,) = entries(tmp_path / "own" / "d.csv")
    assert entry.uri == f"{tmp_path}/own/a.jpg"
    (tmp_path / "other").rename(tmp_path / "flickr30k-images")
    (entry,) = entries(tmp_path / "own" / "d.csv")
    assert entry.uri == f"{tmp_path}/flickr30k-images/a.jpg"


def test_names_in_another_case_and_ids_made_floats(tmp_path):
    write_images(tmp_path, "IMG_1.JPG", "COCO_val2014_000000000042.jpg")
    (tmp_path / "a.csv").write_text("image,caption\nimg_1.jpg,a dog runs\n")
    (tmp_path / "b.csv").write_text("image_id,caption\n42.0,a man walks\n")
    assert captions(tmp_path / "a.csv") == {"IMG_1.JPG": ["a dog runs"]}
    (entry,) = entries(tmp_path / "b.csv")
    assert (entry.image_id, entry.uri.rpartition("_")[2]) == ("42", "000000000042.jpg")


def test_annotations_without_a_list_of_images(tmp_path):
    write_images(tmp_path / "image", "7.jpg")
    content = {"annotations": [{"image_id": i, "caption": "a dog"} for i in ("7", "8")]}
    (tmp_path / "filter_cap.json").write_text(json.dumps(content))
    known, unknown = entries(tmp_path / "filter_cap.json")
    assert (known.uri, known.captions) == (f"{tmp_path}/image/7.jpg", ["a dog"])
    assert codes([unknown]) == ["image_unknown_id"]


def test_columns_of_one_name_are_named(tmp_path):
    write_images(tmp_path, "a.jpg")
    row = {"image": "a.jpg", "Caption": "a dog", "caption": "a cat"}
    (tmp_path / "d.jsonl").write_text(json.dumps(row))
    readings: list = []
    list(read_entries(detect(str(tmp_path / "d.jsonl")), readings=readings))
    assert readings[0].not_read() == {"columns whose name another has": 1}


@pytest.mark.parametrize(
    ("data", "word"),
    [(b"PK\x03\x04xl/workbook.xml", "Excel"), (b"\x80\x04\x95}", "pickle"), (b"SQLite format 3\0", "SQLite"),
     (b"<?xml version='1.0'?>", "XML"), (b"\x93NUMPY\x01", "NumPy"), (b"- image: a.jpg\n", "YAML")],
)  # fmt: skip
def test_what_is_no_dataset_is_called_by_its_name(tmp_path, data, word):
    (tmp_path / "d.bin").write_bytes(data)
    with pytest.raises(DataError, match=word):
        detect(str(tmp_path / "d.bin"))
