"""Which file a row means: paths of another machine, ids, folders in cells, several images in a row."""

import json

import pytest

from tests.data.test_layouts import captions, codes, entries, write_images


@pytest.mark.parametrize(
    "said",
    [
        "/kaggle/input/flickr8k/Images/1.jpg",
        "C:\\Users\\me\\Images\\1.jpg",
        "/data/local-files/?d=Images/1.jpg",
    ],
)
def test_a_path_of_another_machine_is_read_by_its_end(tmp_path, said):
    write_images(tmp_path, "Images/1.jpg")
    (tmp_path / "d.jsonl").write_text(json.dumps({"image": said, "caption": "a dog"}))
    assert captions(tmp_path / "d.jsonl") == {"1.jpg": ["a dog"]}


def test_an_upload_of_label_studio_lies_beside_its_export(tmp_path):
    write_images(tmp_path, "ab12-1.jpg")
    row = {"image": "/data/upload/1/ab12-1.jpg", "id": 1, "caption": {"text": ["a dog", "dogs"]}}
    (tmp_path / "d.json").write_text(json.dumps([row]))
    assert captions(tmp_path / "d.json") == {"ab12-1.jpg": ["a dog", "dogs"]}


def test_a_path_of_another_machine_takes_no_image_of_another_folder(tmp_path):
    write_images(tmp_path, "val/1.jpg", "train/2.jpg")
    rows = [{"image": f"/data/train/{n}.jpg", "caption": "a dog"} for n in (1, 2)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = {entry.image_id: entry.uri for entry in entries(tmp_path / "d.jsonl")}
    assert found["/data/train/1.jpg"] == "/data/train/1.jpg"
    assert found["/data/train/2.jpg"] == f"{tmp_path}/train/2.jpg"
    named = entries(tmp_path / "d.jsonl", str(tmp_path / "val"))
    assert named[0].uri == "/data/train/1.jpg"


def test_a_file_that_is_where_its_path_says_is_taken(tmp_path):
    write_images(tmp_path, "far/Images/1.jpg", "near/Images/1.jpg")
    row = {"image": f"{tmp_path}/far/Images/1.jpg", "caption": "a dog"}
    (tmp_path / "near/d.jsonl").write_text(json.dumps(row))
    assert [e.uri for e in entries(tmp_path / "near/d.jsonl")] == [row["image"]]


def test_a_cell_that_names_the_folder_tells_images_of_one_name_apart(tmp_path):
    write_images(tmp_path, "cat/1.jpg", "dog/1.jpg", "dog/2.jpg")
    text = "label,filename,caption\ncat,1.jpg,a cat\ndog,1.jpg,a dog\ndog,2.jpg,dogs\n"
    (tmp_path / "d.csv").write_text(text)
    found = {e.image_id: (e.uri, e.captions, e.findings) for e in entries(tmp_path / "d.csv")}
    assert found == {
        "cat/1.jpg": (f"{tmp_path}/cat/1.jpg", ["a cat"], []),
        "dog/1.jpg": (f"{tmp_path}/dog/1.jpg", ["a dog"], []),
        "2.jpg": (f"{tmp_path}/dog/2.jpg", ["dogs"], []),
    }


def test_a_number_in_the_datasets_own_folder_comes_before_a_name_beside_it(tmp_path):
    write_images(tmp_path, "images_of_others/1.jpg", "mine/000000000001.jpg")
    (tmp_path / "mine/d.csv").write_text("image_id,caption\n1,a dog\n")
    assert captions(tmp_path / "mine/d.csv") == {"000000000001.jpg": ["a dog"]}


def test_several_numbered_images_in_a_row_are_named_not_guessed(tmp_path):
    write_images(tmp_path, "ex_0.jpg", "a.jpg", "b.jpg")
    row = {"id": 0, "image_0": "a.jpg", "image_1": "b.jpg", "caption_0": "a b", "caption_1": "b a"}
    (tmp_path / "d.jsonl").write_text(json.dumps(row))
    (found,) = entries(tmp_path / "d.jsonl")
    assert (found.uri, found.findings) == ("", [("row_malformed", "2 images in one row")])
    (tmp_path / "d.jsonl").write_text(json.dumps({"image_1": "a.jpg", "caption": "a dog"}))
    assert captions(tmp_path / "d.jsonl") == {"a.jpg": ["a dog"]}


@pytest.mark.parametrize(
    ("image", "name"),
    [({}, "7.jpg"), ({"coco_url": "http://images.cocodataset.org/val2017/x.jpg"}, "val2017/x.jpg")],
)
def test_cocos_images_without_a_file_name(tmp_path, image, name):
    write_images(tmp_path, name)
    annotations = [{"id": 1, "image_id": 7, "caption": "a dog"}]
    content = {"annotations": annotations, "images": [{"id": 7, **image}]}
    (tmp_path / "d.json").write_text(json.dumps(content))
    assert captions(tmp_path / "d.json") == {name.rpartition("/")[2]: ["a dog"]}
    (tmp_path / name).unlink()
    assert codes(entries(tmp_path / "d.json")) == ([] if image else ["row_malformed"])
