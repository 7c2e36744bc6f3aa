"""Layouts beyond the textbook ones: rows in objects, numbered texts, archives with folders inside."""

import base64
import gzip
import json

import pytest

from dico.data.formats import Columns, detect, read_entries
from dico.data.formats.cells import split_joined
from dico.data.formats.detect import of_file
from dico.data.formats.reading import Reading
from dico.errors import DataError
from tests.data.test_layouts import captions, codes, entries, photo, tar, write_images

BOTH = {"a.jpg": ["a dog, running"], "b.jpg": ["a cat"]}
OBJECTS = {
    "pandas by index": {"0": {"image": "a.jpg", "caption": BOTH["a.jpg"][0]},
                        "1": {"image": "b.jpg", "caption": "a cat"}},
    "rows by image": {"a.jpg": {"caption": BOTH["a.jpg"][0], "split": "test"},
                      "b.jpg": {"captions": ["a cat"], "split": "train"}},
    "rows by id": {"a": {"caption": BOTH["a.jpg"][0], "tags": "dog"}, "b": {"caption": "a cat"}},
    "rows by category": {"dogs": [{"raw": BOTH["a.jpg"][0], "filename": "a.jpg"}],
                         "cats": [{"raw": "a cat", "filename": "b.jpg"}]},
    "a column each": {"image": ["a.jpg", "b.jpg"],
                      "caption": [*BOTH["a.jpg"], "a cat"]},
    "lists of captions in a column": {"captions": [BOTH["a.jpg"], ["a cat"]],
                                      "file_name": ["a.jpg", "b.jpg"]},
    "objects by split": {"train": {"a.jpg": BOTH["a.jpg"]}, "val": {"b.jpg": "a cat"}},
    "objects of ids by split": {"train": {"a": BOTH["a.jpg"]}, "test": {"b": ["a cat"]}},
    "rows under results": {"results": [{"image": "a.jpg", "captions": BOTH["a.jpg"]},
                                       {"image": "b.jpg", "caption": "a cat"}]},
    "captions among images": {"images": [{"filename": "a.jpg", "captions": BOTH["a.jpg"]},
                                         {"filename": "b.jpg", "captions": ["a cat"]}]},
}  # fmt: skip


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("content", OBJECTS.values(), ids=OBJECTS)
def test_rows_in_an_object(tmp_path, content, indent):
    write_images(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "d.json").write_text(json.dumps(content, indent=indent))
    assert captions(tmp_path / "d.json") == BOTH


def test_rows_in_an_object_keep_their_splits_and_name_what_is_not_read(tmp_path):
    write_images(tmp_path, "a.jpg")
    content = {"a.jpg": {"caption": "a dog", "split": "test", "tags": "dog"}}
    (tmp_path / "d.json").write_text(json.dumps(content))
    readings: list[Reading] = []
    (entry,) = read_entries(detect(str(tmp_path / "d.json")), readings=readings)
    assert entry.split == "test"
    assert dict(readings[0].not_read()) == {"column tags": 1}


def test_five_captions_of_nwpu(tmp_path):
    write_images(tmp_path / "beach", "beach_001.jpg")
    row = {"raw": "a beach .", **{f"raw_{n}": f"sea {n} ." for n in range(1, 5)}}
    row |= {"filename": "beach_001.jpg", "split": "val", "imgid": 7}
    (tmp_path / "dataset_nwpu.json").write_text(json.dumps({"beach": [row]}))
    (entry,) = entries(tmp_path / "dataset_nwpu.json")
    assert (entry.image_id, entry.split, entry.findings) == ("7", "validation", [])
    assert entry.captions == ["a beach .", "sea 1 .", "sea 2 .", "sea 3 .", "sea 4 ."]


@pytest.mark.parametrize(
    "text",
    ["a dog runs\na cat", "a dog runs<br/>a cat", "1. a dog runs 2. a cat", "(1) a dog runs\n(2) a cat",
     "- a dog runs\n- a cat"],
)  # fmt: skip
def test_captions_in_one_text_under_a_name_of_several(tmp_path, text):
    write_images(tmp_path, "a.jpg")
    (tmp_path / "d.jsonl").write_text(json.dumps({"image": "a.jpg", "captions": text}))
    (entry,) = entries(tmp_path / "d.jsonl")
    assert (entry.captions, codes([entry])) == (["a dog runs", "a cat"], ["row_repaired"])


@pytest.mark.parametrize(
    "text", ["2. of 3 dogs runs", "a dog at 1. and 2. base", "- a dog", "a dog; a cat"]
)
def test_numbers_alone_are_no_list(text):
    assert split_joined(text) == [text]


@pytest.mark.parametrize("keys", [("prefix", "suffix"), ("query", "response"), ("input", "output")])
def test_rows_of_instructions(tmp_path, keys):
    write_images(tmp_path, "a.jpg")
    row = {"image": "a.jpg", keys[0]: "caption en", keys[1]: "a dog"}
    (tmp_path / "d.jsonl").write_text(json.dumps(row))
    assert captions(tmp_path / "d.jsonl") == {"a.jpg": ["a dog"]}


def test_mechanical_turk_has_the_reason_under_reject(tmp_path):
    write_images(tmp_path, "a.jpg")
    table = "HITId,Input.image_url,Answer.caption,Approve,Reject\nh,a.jpg,a dog,x,\ni,a.jpg,pic,,too short\n"
    (tmp_path / "batch.csv").write_text(table)
    (entry,) = entries(tmp_path / "batch.csv")
    assert (entry.captions, entry.left_out) == (["a dog"], [("caption_rejected", "pic")])


@pytest.mark.parametrize("rule", ["|---|---|", "-----+-----", "| :--- | ---: |"])
def test_a_rule_under_a_header_is_no_row(tmp_path, rule):
    write_images(tmp_path, "a.jpg")
    (tmp_path / "d.csv").write_text(f"image | caption\n{rule}\na.jpg | a dog\n")
    assert captions(tmp_path / "d.csv") == {"a.jpg": ["a dog"]}


@pytest.mark.parametrize("line", ['"{1}",{0}\n', '"{0}","{1}"\n', '{0};"{1}"\n'])
def test_quotes_without_a_header(tmp_path, line):
    write_images(tmp_path, "a.jpg", "b.jpg")
    both = {"a.jpg": "a dog, running", "b.jpg": "a cat; or two, asleep"}
    (tmp_path / "d.csv").write_text("".join(line.format(*one) for one in both.items()))
    assert captions(tmp_path / "d.csv") == {name: [text] for name, text in both.items()}


def test_images_in_base64_in_lists_and_chats(tmp_path):
    begin = "data:image/jpeg;base64,"
    addresses = [begin + base64.b64encode(photo(shade)).decode() for shade in (1, 2)]
    part = {"type": "image_url", "image_url": {"url": addresses[1]}}
    turns = [{"role": "user", "content": [part]}, {"role": "assistant", "content": "a cat"}]
    rows = [{"images": addresses[:1], "caption": "a dog"}, {"messages": turns}]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = list(read_entries(detect(str(tmp_path / "d.jsonl")), pixels=True))
    assert [(e.captions, e.image_bytes == photo(shade), e.findings)
            for shade, e in enumerate(found, start=1)] == [(["a dog"], True, []), (["a cat"], True, [])]  # fmt: skip


def test_base64_that_is_no_image_is_named_and_makes_no_id(tmp_path):
    (tmp_path / "d.csv").write_text('image,caption\n"data:image/png;base64,AAAA",a dog\n')
    (entry,) = entries(tmp_path / "d.csv")
    assert (entry.image_id, codes([entry])) == ("d-2", ["image_embedded"])


def test_a_tar_with_images_and_texts_in_folders(tmp_path):
    members = {f"{split}/{folder}/1.{suffix}": data
               for split, shade in (("train", 1), ("test", 2))
               for folder, suffix, data in (("images", "jpg", photo(shade)), ("captions", "txt", split.encode()))}  # fmt: skip
    tar(tmp_path / "x.tar", members)
    found = entries(tmp_path / "x.tar")
    assert {e.image_id: (e.captions, e.split, e.findings) for e in found} == {
        "train/1": (["train"], "train", []),
        "test/1": (["test"], "test", []),
    }


def test_a_table_inside_of_a_tar_is_named(tmp_path):
    tar(tmp_path / "x.tar", {"1.jpg": photo(1), "captions.csv": b"image,caption\n1.jpg,a dog\n"})
    readings: list[Reading] = []
    list(read_entries(detect(str(tmp_path / "x.tar")), readings=readings))
    assert dict(readings[0].not_read()) == {"table captions.csv": 1}


def test_packed_tars_say_how_to_unpack_them(tmp_path):
    tar(tmp_path / "x.tar", {"1.jpg": photo(1), "1.txt": b"a dog"})
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress((tmp_path / "x.tar").read_bytes()))
    with pytest.raises(DataError, match="gunzip"):
        detect(str(tmp_path / "x.tar.gz"))


def test_named_columns_lead_through_lists_and_wrong_names_are_told(tmp_path):
    write_images(tmp_path, "a.jpg")
    row = {"meta": {"img": "a.jpg"}, "ann": [{"t": "a dog"}, {"t": "a cat"}]}
    (tmp_path / "d.jsonl").write_text(json.dumps(row))
    dataset = detect(str(tmp_path / "d.jsonl"), columns=Columns.named("meta.img", "ann.t,typo"))
    readings: list[Reading] = []
    (entry,) = read_entries(dataset, readings=readings)
    assert entry.captions == ["a dog", "a cat"]
    assert dict(readings[0].not_read()) == {"no row has the column typo": 1}


def test_lines_of_unknown_columns_name_them_to_every_command(tmp_path):
    (tmp_path / "d.jsonl").write_text('{"bild": "a.jpg", "texte": ["a dog"]}\n' * 2)
    with pytest.raises(DataError, match=r"bild, texte.*--image-column"):
        of_file(str(tmp_path / "d.jsonl"))


def test_columns_of_different_lengths_are_named(tmp_path):
    (tmp_path / "d.json").write_text(
        json.dumps({"image": ["a.jpg", "b.jpg"], "caption": ["x y"]}, indent=1)
    )
    (entry,) = entries(tmp_path / "d.json")
    assert entry.findings == [
        ("file_malformed", "columns of different lengths: image 2, caption 1")
    ]


def test_objects_by_split_tell_their_splits(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    for values in (["a dog", "a cat"], [{"caption": "a dog"}, {"caption": "a cat"}]):
        content = {"train": {"a.jpg": values[0]}, "val": {"b.jpg": values[1]}}
        (tmp_path / "d.json").write_text(json.dumps(content))
        found = {e.image_id: (e.split, e.captions) for e in entries(tmp_path / "d.json")}
        assert found == {"a.jpg": ("train", ["a dog"]), "b.jpg": ("validation", ["a cat"])}


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_objects_one_after_the_other_over_several_lines_are_named_once(tmp_path, suffix):
    rows = [{"image": f"{n}.jpg", "caption": "a dog"} for n in range(2)]
    (tmp_path / f"d.{suffix}").write_text("\n".join(json.dumps(row, indent=1) for row in rows))
    with pytest.raises(DataError, match="write each on a line of its own"):
        detect(str(tmp_path / f"d.{suffix}"))


def test_a_format_that_is_named_is_believed_of_a_folders_only_table(tmp_path):
    write_images(tmp_path, "a.jpg")
    row = {"filename": "a.jpg", "size": 3, "regions": [], "file_attributes": {"caption": "a dog"}}
    (tmp_path / "via.json").write_text(json.dumps({"a.jpg3": row}))
    with pytest.raises(DataError, match="with --caption-column where each is a row"):
        detect(str(tmp_path))
    columns = Columns("filename", ("file_attributes.caption",))
    found = read_entries(detect(str(tmp_path), format_name="mapping", columns=columns))
    assert [(e.uri, e.captions) for e in found] == [(f"{tmp_path}/a.jpg", ["a dog"])]


def test_equal_lists_under_images_are_no_columns_though_a_column_is_named(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    content = {"a.jpg": ["a dog", "a brown dog"], "b.jpg": ["a cat", "a red cat"]}
    (tmp_path / "d.json").write_text(json.dumps(content))
    found = read_entries(detect(str(tmp_path / "d.json"), columns=Columns("", ("text_en",))))
    assert {entry.image_id: entry.captions for entry in found} == content
