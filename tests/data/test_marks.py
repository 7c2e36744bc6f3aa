"""Captions that their own dataset says not to use are left out, however it says so."""

import json

import pytest

from tests.data.test_layouts import entries, photo, tar, write_images

REJECTED = [("caption_rejected", "bad one")]


@pytest.mark.parametrize(
    ("mark", "value"),
    [
        ("is_deleted", True),
        ("deleted", 1),
        ("ignore", 1),
        ("is_valid", 0),
        ("is_valid", "False"),
        ("approved", False),
        ("status", "rejected"),
        ("was_cancelled", True),
        ("invalid", "true"),
    ],
)
def test_marks_of_many_tools(tmp_path, mark, value):
    write_images(tmp_path, "a.jpg")
    rows = [("a dog", {}), ("bad one", {mark: value})]
    lines = [json.dumps({"image": "a.jpg", "caption": c, **m}) + "\n" for c, m in rows]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"image_id": 1, "caption": c, **m} for c, m in rows],
    }
    (tmp_path / "b.json").write_text(json.dumps(coco))
    inside = [{"caption": c, **m} for c, m in rows]
    (tmp_path / "c.jsonl").write_text(json.dumps({"image": "a.jpg", "captions": inside}) + "\n")
    (tmp_path / "d.json").write_text(json.dumps({"a.jpg": inside}))
    for name in ("a.jsonl", "b.json", "c.jsonl", "d.json"):
        (entry,) = entries(tmp_path / name)
        assert (name, entry.captions, entry.left_out) == (name, ["a dog"], REJECTED)


@pytest.mark.parametrize(("mark", "value"), [("is_valid", True), ("status", "success"), ("ok", 0)])
def test_what_is_no_mark_leaves_nothing_out(tmp_path, mark, value):
    write_images(tmp_path, "a.jpg")
    row = {"image": "a.jpg", "caption": "a dog", mark: value}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    assert entries(tmp_path / "a.jsonl")[0].captions == ["a dog"]


def test_a_marked_image_of_coco_has_no_caption_that_counts(tmp_path):
    write_images(tmp_path, "a.jpg")
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg", "is_rejected": True}],
        "annotations": [{"image_id": 1, "caption": "bad one"}],
    }
    (tmp_path / "d.json").write_text(json.dumps(coco))
    (entry,) = entries(tmp_path / "d.json")
    assert (entry.captions, entry.left_out) == ([], REJECTED)


def test_a_mark_in_a_samples_json_counts_for_its_text_too(tmp_path):
    said = json.dumps({"caption": "bad one", "is_rejected": True}).encode()
    tar(tmp_path / "d.tar", {"a.jpg": photo(1), "a.json": said, "a.txt": b"worse"})
    (entry,) = entries(tmp_path / "d.tar")
    assert (entry.captions, [code for code, _ in entry.left_out]) == ([], ["caption_rejected"] * 2)
