"""Layouts of annotation tools, chats and tables that hold images in lists or as text."""

import base64
import json

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from dico.data.formats import detect, read_entries
from dico.errors import DataError
from dico.images.load import read_image
from tests.data.test_layouts import captions, codes, entries, photo, tar, write_images


def write_table(path, rows):
    table = pa.Table.from_pylist(rows)
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=2)
        return
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_images_in_lists_within_tables(tmp_path, form):
    both = [{"bytes": photo(n), "path": f"{n}.jpg"} for n in range(2)]
    rows = [{"images": [one], "texts": [{"user": "?", "assistant": "a dog"}]} for one in both]
    write_table(tmp_path / f"d.{form}", [*rows, {**rows[0], "images": both}])
    one, other, several = entries(tmp_path / f"d.{form}")
    assert [read_image(entry.uri) for entry in (one, other)] == [photo(0), photo(1)]
    assert (one.captions, codes([several])) == (["a dog"], ["row_malformed"])


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_base64_within_tables(tmp_path, form):
    texts = [base64.b64encode(photo(n)).decode() for n in range(4)]
    texts[2:] = ["data:image/jpeg;base64," + texts[2], f"b'{texts[3]}'"]
    rows = [{"image": text, "caption": "a dog"} for text in (*texts, "not*base64" * 60)]
    write_table(tmp_path / f"d.{form}", rows)
    found = list(read_entries(detect(str(tmp_path / f"d.{form}")), pixels=True))
    assert [entry.image_bytes for entry in found[:4]] == [photo(n) for n in range(4)]
    assert [read_image(entry.uri) for entry in found[:4]] == [photo(n) for n in range(4)]


def test_label_studios_tasks(tmp_path):
    write_images(tmp_path, "ab-1.jpg")

    def annotation(text, cancelled):
        value = {"type": "textarea", "from_name": "caption", "value": {"text": [text]}}
        return {"was_cancelled": cancelled, "result": [value]}

    task = {
        "id": 7,
        "data": {"image": "/data/upload/1/ab-1.jpg"},
        "annotations": [annotation("a dog", False), annotation("bad one", True)],
    }
    (tmp_path / "d.json").write_text(json.dumps([task]))
    (entry,) = entries(tmp_path / "d.json")
    assert (entry.uri, entry.image_id) == (f"{tmp_path}/ab-1.jpg", "7")
    assert (entry.captions, entry.left_out) == (["a dog"], [("caption_rejected", "bad one")])


def test_datumaros_items(tmp_path):
    write_images(tmp_path, "1.jpg")
    item = {
        "id": "1",
        "annotations": [{"type": "caption", "caption": "a dog"}],
        "image": {"path": "1.jpg"},
    }
    (tmp_path / "d.json").write_text(json.dumps({"info": {}, "items": [item]}))
    assert captions(tmp_path / "d.json") == {"1.jpg": ["a dog"]}


def test_a_chat_whose_parts_name_the_image(tmp_path):
    write_images(tmp_path, "a.jpg")
    asked = [{"type": "image_url", "image_url": {"url": "a.jpg"}}, {"type": "text", "text": "?"}]
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": "a dog"}]
    (tmp_path / "d.json").write_text(json.dumps([{"messages": turns}]))
    assert captions(tmp_path / "d.json") == {"a.jpg": ["a dog"]}


def test_a_list_for_each_split(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    rows = [{"image": name, "caption": "a dog"} for name in ("a.jpg", "b.jpg")]
    (tmp_path / "d.json").write_text(json.dumps({"train": rows[:1], "test": rows[1:]}))
    assert [entry.split for entry in entries(tmp_path / "d.json")] == ["train", "test"]


def test_annotations_that_name_their_images(tmp_path):
    write_images(tmp_path, "a.jpg")
    row = {"image_id": "a", "url": "https://example.org/x.jpg", "caption": "a dog"}
    (tmp_path / "d.json").write_text(json.dumps({"info": {}, "annotations": [row]}))
    assert captions(tmp_path / "d.json") == {"a.jpg": ["a dog"]}


def test_objects_by_image(tmp_path):
    write_images(tmp_path, "a.jpg")
    (tmp_path / "d.json").write_text(json.dumps({"a": {"caption": "a dog", "tags": "dog"}}))
    assert captions(tmp_path / "d.json") == {"a.jpg": ["a dog"]}


def test_json_of_no_known_kind_is_named_by_its_keys(tmp_path):
    (tmp_path / "d.json").write_text(json.dumps({"image_urls": ["x"], "texts_of": ["a dog"]}))
    with pytest.raises(DataError, match="the keys image_urls, texts_of"):
        detect(str(tmp_path / "d.json"))


def test_shards_that_count_anew_have_ids_of_their_own(tmp_path):
    for shard in range(4):
        members = {"1.jpg": photo(shard), "1.txt": b"a dog"}
        tar(tmp_path / f"train-{shard:06d}.tar", members)
    ids = [entry.image_id for entry in entries(tmp_path)]
    assert ids == ["1", "train/1", "train-000002/1", "train-000003/1"]


@pytest.mark.parametrize(
    ("said", "split"), [("qual_test", "test"), ("val_unseen", "validation"), ("trainval", "")]
)
def test_words_for_splits(tmp_path, said, split):
    write_images(tmp_path, "a.jpg")
    row = {"image": "a.jpg", "caption": "a dog", "split": said}
    (tmp_path / "d.jsonl").write_text(json.dumps(row) + "\n")
    (entry,) = entries(tmp_path / "d.jsonl")
    assert (entry.split, codes([entry])) == (split, [] if split else ["split_unknown"])


def test_an_image_named_by_number(tmp_path):
    write_images(tmp_path, "12.jpg")
    (tmp_path / "d.jsonl").write_text('{"image": 12, "caption": "a dog"}\n')
    assert captions(tmp_path / "d.jsonl") == {"12.jpg": ["a dog"]}


def test_what_a_cache_or_an_earlier_saving_left_beside_arrow_files_is_not_read(tmp_path):
    rows = [{"image": {"bytes": photo(1), "path": None}, "text": "a dog"}]
    for name in ("data-00000-of-00001", "data-00001-of-00002", "cache-0a1b2c3d4e"):
        write_table(tmp_path / f"{name}.arrow", rows)
    assert len(detect(str(tmp_path)).parts) == 2  # a cache by its name
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    (tmp_path / "state.json").write_text(json.dumps(state))
    assert captions_of_all(tmp_path) == [["a dog"]]


def test_a_row_for_each_sentence_of_an_image_in_an_object(tmp_path):
    texts = ["a dog", "two dogs", "a cat"]
    rows = [
        {"image": {"bytes": photo(n // 2), "path": None}, "sentences": {"raw": text, "sentid": n},
         "cocoid": n // 2}
        for n, text in enumerate(texts)
    ]  # fmt: skip
    write_table(tmp_path / "d.parquet", rows)
    assert captions_of_all(tmp_path / "d.parquet") == [["a dog", "two dogs"], ["a cat"]]


def captions_of_all(dataset):
    return [entry.captions for entry in read_entries(detect(str(dataset)), pixels=True)]


@pytest.mark.parametrize("name", ["d.jsonlines", "d.feather"])
def test_other_suffixes_of_known_formats(tmp_path, name):
    write_images(tmp_path, "a.jpg")
    row = {"image": "a.jpg", "caption": "a dog"}
    (tmp_path / "d.jsonlines").write_text(json.dumps(row))
    if name == "d.feather":
        pyarrow.feather.write_feather(pa.Table.from_pylist([row]), str(tmp_path / name))
        (tmp_path / "d.jsonlines").unlink()
    assert captions(tmp_path) == {"a.jpg": ["a dog"]}


def test_a_folder_names_the_files_that_it_could_not_read(tmp_path):
    write_images(tmp_path, "a.jpg")
    (tmp_path / "annotations.xml").write_text("<annotations/>")
    with pytest.raises(DataError, match="no captions for them; of no known format: annotations"):
        detect(str(tmp_path))


def test_a_text_beside_an_image_may_be_utf_16(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "a.txt").write_bytes("a café\r\n".encode("utf-16"))
    (tmp_path / "b.json").write_bytes('["a cat"]'.encode("utf-16"))
    assert captions(tmp_path) == {"a.jpg": ["a café"], "b.jpg": ["a cat"]}
