"""Layouts that people have: each is read as its dataset means it, and nothing goes without a word."""

import base64
import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dico.data.entries import Entry
from dico.data.formats import Columns, detect, read_entries
from dico.errors import DataError, UsageError
from dico.images.load import load_image, read_image

TWO = ["a dog runs", "a brown dog, near the sea"]


def photo(shade: int) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (40, 36), (25 * shade % 256, 90, 20)).save(target, "JPEG")
    return target.getvalue()


def write_images(folder: Path, *names: str) -> None:
    for shade, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo(shade + len(name)))


def entries(dataset: Path | str, images: str = "", columns: Columns | None = None) -> list[Entry]:
    return list(read_entries(detect(str(dataset), images, columns=columns or Columns())))


def captions(dataset: Path | str, images: str = "", columns: Columns | None = None) -> dict:
    """Image's file name to captions; no finding is allowed."""
    found = entries(dataset, images, columns)
    assert [entry.findings for entry in found if entry.findings] == []
    return {e.uri.rpartition("/")[2].rpartition(":")[2]: e.captions for e in found}


def codes(found: list[Entry]) -> list[str]:
    return [code for entry in found for code, _ in entry.findings]


CELLS = {
    "json": json.dumps(TWO),
    "python": repr(TWO),
    "tuple": repr(tuple(TWO)),
    "numpy": "['a dog runs'\n 'a brown dog, near the sea']",
    "objects": json.dumps([{"raw": text} for text in TWO]),
    "python objects": repr([{"raw": text} for text in TWO]),
}


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("column", ["caption", "captions", "raw", "text", "sentences", "Caption"])
def test_a_list_in_a_cell_is_a_list_whatever_its_column_is_called(tmp_path, cell, column):
    write_images(tmp_path, "a.jpg")
    quoted = cell.replace('"', '""')
    (tmp_path / "d.csv").write_text(f'filename,{column},sentids\na.jpg,"{quoted}","[0, 1]"\n')
    assert captions(tmp_path / "d.csv") == {"a.jpg": TWO}
    row = {"image": "a.jpg", column: cell}
    (tmp_path / "d.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row | {"id": "2"}) + "\n")
    assert all(entry.captions == TWO for entry in entries(tmp_path / "d.jsonl"))


def test_a_text_in_brackets_is_a_text(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    texts = ["[laughing] a man on a bench", "[a dog]", '("Home") a sign on a door (old)']
    rows = [{"image": f"{n}.jpg", "caption": t} for n, t in zip("abc", texts, strict=True)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert captions(tmp_path / "d.jsonl") == {
        f"{n}.jpg": [t] for n, t in zip("abc", texts, strict=True)
    }


def test_a_list_that_breaks_off_is_named(tmp_path):
    write_images(tmp_path, "a.jpg")
    (tmp_path / "d.csv").write_text("image,caption\na.jpg,\"['a dog', 'a c]\"\n")
    assert codes(entries(tmp_path / "d.csv")) == ["row_malformed"]


TABLES = {
    "captions.txt of Kaggle": 'image,caption\na.jpg,"a dog, running"\nb.jpg,"a ""red"" ball"\n',
    "no header, quoted": 'a.jpg,"a dog, running"\nb.jpg,"a ""red"" ball"\n',
    "no header, plain": 'a.jpg,a dog, running\nb.jpg,a "red" ball\n',
    "semicolons": 'image;caption\na.jpg;a dog, running\nb.jpg;"a ""red"" ball"\n',
    "Excel": 'sep=;\nimage;caption\na.jpg;a dog, running\nb.jpg;"a ""red"" ball"\n',
    "tabs": 'image\tcaption\na.jpg\ta dog, running\nb.jpg\ta "red" ball\n',
    "tabs, by pandas": 'image\tcaption\na.jpg\ta dog, running\nb.jpg\t"a ""red"" ball"\n',
    "token": 'a.jpg#0\ta dog, running\nb.jpg#0\ta "red" ball\n',
    "strokes": 'image_name| comment_number| comment\na.jpg| 0| a dog, running\n'
    'b.jpg| 0| a "red" ball\n',
    "strokes, no header": 'a.jpg| 0| a dog, running\nb.jpg| 0| a "red" ball\n',
    "index of pandas": ',image,caption\n0,a.jpg,"a dog, running"\n1,b.jpg,"a ""red"" ball"\n',
    "caption first": 'caption,file_name\n"a dog, running",a.jpg\n"a ""red"" ball",b.jpg\n',
    "unquoted commas": "image,caption\na.jpg,a dog, running\nb.jpg,\"a \"\"red\"\" ball\"\n",
    "other case": 'Image Name,Caption\na.jpg,"a dog, running"\nb.jpg,"a ""red"" ball"\n',
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".tsv"])
@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES)
def test_a_text_table_is_told_by_its_content(tmp_path, text, suffix):
    write_images(tmp_path, "a.jpg", "b.jpg")
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / f"d{suffix}").write_text(text, encoding=encoding)
        assert captions(tmp_path / f"d{suffix}") == {
            "a.jpg": ["a dog, running"],
            "b.jpg": ['a "red" ball'],
        }


def test_flickr30ks_broken_line_is_read_as_meant_and_named(tmp_path):
    write_images(tmp_path, "a.jpg")
    lines = [f"a.jpg| {n}| a dog number {n} ." for n in range(4)]
    lines.append("a.jpg| 4   A dog runs across the grass .")
    (tmp_path / "results.csv").write_text(
        "image_name| comment_number| comment\n" + "\n".join(lines) + "\n"
    )
    (entry,) = entries(tmp_path / "results.csv")
    assert entry.captions[-1] == "A dog runs across the grass ."
    assert len(entry.captions) == 5
    assert codes([entry]) == ["row_repaired"]


def test_an_open_quote_costs_its_own_row_and_is_named(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "d.tsv").write_text(
        'image\tcaption\na.jpg\t"Look, a dog\nb.jpg\ta cat\nc.jpg\ta cow"\n'
    )
    assert captions(tmp_path / "d.tsv") == {
        "a.jpg": ['"Look, a dog'],
        "b.jpg": ["a cat"],
        "c.jpg": ['a cow"'],
    }
    (tmp_path / "d.csv").write_text(
        'image,caption\na.jpg,"Look, a dog\nb.jpg,a cat"\nc.jpg,a cow\n'
    )
    assert codes(entries(tmp_path / "d.csv")) == ["row_malformed"]


def test_numbered_and_repeated_columns_are_all_captions(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    for header in (
        "caption_0,caption_1",
        "caption1,caption2",
        "caption,caption",
        "Comment 1,Comment 2",
    ):
        (tmp_path / "d.csv").write_text(f"file_name,{header}\na.jpg,a dog,a cat\nb.jpg,a cow,\n")
        assert captions(tmp_path / "d.csv") == {"a.jpg": ["a dog", "a cat"], "b.jpg": ["a cow"]}


def test_columns_can_be_named(tmp_path):
    write_images(tmp_path, "a.jpg")
    (tmp_path / "d.csv").write_text("pic,words,more\na.jpg,a dog,a cat\n")
    with pytest.raises(DataError, match=r"pic, words, more.*--image-column NAME --caption-column"):
        detect(str(tmp_path / "d.csv"))
    assert captions(tmp_path / "d.csv", columns=Columns("pic", ("words", "more"))) == {
        "a.jpg": ["a dog", "a cat"]
    }
    row = {"meta": {"img": {"where": "a.jpg"}, "said": TWO}}
    (tmp_path / "d.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "id": 2}) + "\n")
    with pytest.raises(DataError, match="--image-column"):
        detect(str(tmp_path / "d.jsonl"))
    named = Columns("meta.img.where", ("meta.said",))
    assert captions(tmp_path / "d.jsonl", columns=named) == {"a.jpg": TWO}


def tar(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_names_with_points_are_samples_of_their_own(tmp_path):
    members = {}
    for clip in range(2):
        for frame in range(3):
            members[f"clip{clip}.frame{frame}.jpg"] = photo(clip * 3 + frame)
            members[f"clip{clip}.frame{frame}.txt"] = f"a dog in frame {frame}".encode()
    tar(tmp_path / "t.tar", members)
    found = captions(tmp_path / "t.tar")
    assert found["clip1.frame2.jpg"] == ["a dog in frame 2"]
    assert len(found) == 6


def test_members_of_a_sample_need_not_follow_each_other(tmp_path):
    members = {f"{n}.jpg": photo(n) for n in range(3)}
    members |= {f"{n}.txt": b"a dog" for n in range(3)}
    tar(tmp_path / "t.tar", members)
    assert captions(tmp_path / "t.tar") == {f"{n}.jpg": ["a dog"] for n in range(3)}


def test_text_and_json_of_one_sample_count_once(tmp_path):
    content = {"caption": "a dog", "status": "success", "width": 40}
    members = {"0.jpg": photo(0), "0.json": json.dumps(content).encode(), "0.txt": b"a dog"}
    members |= {"1.jpg": photo(1), "1.json": b'{"caption": "a cat"}', "1.txt": b"two cats"}
    tar(tmp_path / "t.tar", members)
    one, two = entries(tmp_path / "t.tar")
    assert one.captions == ["a dog"]
    assert one.left_out == [("caption_twice_in_sample", "a dog")]
    assert two.captions == ["a cat", "two cats"]


def test_images_that_no_text_tells_apart_are_named(tmp_path):
    tar(tmp_path / "a.tar", {"0.jpg": photo(0), "0.png": photo(1), "0.txt": b"a dog"})
    tar(tmp_path / "b.tar", {"0.left.jpg": photo(0), "0.right.jpg": photo(1), "0.txt": b"a dog"})
    for name in ("a.tar", "b.tar"):
        found = entries(tmp_path / name)
        assert "sample_ambiguous" in codes(found)
        assert all(not entry.uri for entry in found)
        assert sum(len(entry.captions) for entry in found) == 1
    tar(tmp_path / "c.tar", {"0.jpg": photo(0), "0.mask.png": photo(1), "0.txt": b"a dog"})
    readings: list = []
    (entry,) = read_entries(detect(str(tmp_path / "c.tar")), readings=readings)
    assert entry.captions == ["a dog"]
    assert "0.mask.png" in next(iter(readings[0].unread))


def test_members_that_are_no_data_are_counted_not_read(tmp_path):
    members = {"0.jpg": photo(0), "0.txt": b"a dog", "._0.jpg": b"mac", "__MACOSX/0.jpg": b"mac",
               ".DS_Store": b"x", "README.txt": b"hello there", "0.npy": b"\x00"}  # fmt: skip
    tar(tmp_path / "t.tar", members)
    readings: list = []
    (entry,) = read_entries(detect(str(tmp_path / "t.tar")), readings=readings)
    assert (entry.captions, entry.findings) == (["a dog"], [])
    assert readings[0].unread == {"hidden files": 3, "README.txt": 1, "*.npy": 1}


def test_numbers_join_samples_of_one_image_alone(tmp_path):
    tar(
        tmp_path / "a.tar",
        {"x__0.jpg": photo(0), "x__0.txt": b"a dog", "x__1.jpg": photo(0), "x__1.txt": b"a cat"},
    )
    tar(
        tmp_path / "b.tar",
        {"x__0.jpg": photo(0), "x__0.txt": b"a dog", "x__1.jpg": photo(9), "x__1.txt": b"a cat"},
    )
    assert [(e.image_id, e.captions) for e in entries(tmp_path / "a.tar")] == [
        ("x", ["a dog", "a cat"])
    ]
    assert [e.captions for e in entries(tmp_path / "b.tar")] == [["a dog"], ["a cat"]]


def test_what_img2dataset_writes_beside_its_shards_is_no_second_dataset(tmp_path):
    tar(tmp_path / "00000.tar", {"0.jpg": photo(0), "0.txt": b"a dog"})
    pq.write_table(pa.table({"url": ["u"], "caption": ["a dog"]}), tmp_path / "00000.parquet")
    (tmp_path / "00000_stats.json").write_text('{"count": 1}')
    assert captions(tmp_path) == {"0.jpg": ["a dog"]}


def test_texts_beside_images(tmp_path):
    write_images(tmp_path, "train/a.jpg", "train/b.png", "test/a.jpg")
    (tmp_path / "train/a.txt").write_text("a dog\na brown dog\n")
    (tmp_path / "train/b.caption").write_text("a cat")
    (tmp_path / "test/a.json").write_text('{"caption": "a cow"}')
    found = {e.uri.removeprefix(f"{tmp_path}/"): (e.captions, e.split) for e in entries(tmp_path)}
    assert found == {
        "train/a.jpg": (["a dog", "a brown dog"], "train"),
        "train/b.png": (["a cat"], "train"),
        "test/a.jpg": (["a cow"], "test"),
    }
    assert len({entry.image_id for entry in entries(tmp_path)}) == 3


def test_an_imagefolder_with_a_table_in_each_split(tmp_path):
    write_images(tmp_path, "train/0.jpg", "test/0.jpg")
    for split in ("train", "test"):
        (tmp_path / split / "metadata.csv").write_text(
            f"file_name,caption_0\n0.jpg,a {split} dog\n"
        )
    found = entries(tmp_path)
    assert {e.uri.removeprefix(f"{tmp_path}/"): (e.captions, e.split) for e in found} == {
        "train/0.jpg": (["a train dog"], "train"),
        "test/0.jpg": (["a test dog"], "test"),
    }
    assert len({entry.image_id for entry in found}) == 2


def test_an_image_is_looked_for_beside_its_own_file(tmp_path):
    write_images(tmp_path, "train/0.jpg", "test/0.jpg", "test/1.jpg")
    for split, names in (("train", "0"), ("test", "01")):
        rows = [json.dumps({"file_name": f"{n}.jpg", "text": f"a {split} dog"}) for n in names]
        (tmp_path / split / "metadata.jsonl").write_text("\n".join(rows) + "\n")
    dataset = f"train={tmp_path}/train/metadata.jsonl,test={tmp_path}/test/metadata.jsonl"
    found = [(e.uri.removeprefix(f"{tmp_path}/"), e.captions[0], e.split) for e in entries(dataset)]
    assert found == [
        ("train/0.jpg", "a train dog", "train"),
        ("test/0.jpg", "a test dog", "test"),
        ("test/1.jpg", "a test dog", "test"),
    ]


def test_a_name_that_two_folders_have_is_not_guessed(tmp_path):
    write_images(tmp_path, "train/0.jpg", "test/0.jpg", "cats/1.jpg", "dogs/1.jpg")
    rows = [
        {"image": "0.jpg", "caption": "a dog", "split": "test"},
        {"image": "1.jpg", "caption": "a cat", "split": "train"},
        {"image": "cats/1.jpg", "caption": "a cat", "split": "train"},
    ]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = entries(tmp_path / "d.jsonl")
    assert {e.uri.removeprefix(f"{tmp_path}/") for e in found} >= {"test/0.jpg", "cats/1.jpg"}
    assert codes(found) == ["image_ambiguous"]
    found = entries(tmp_path / "d.jsonl", f"{tmp_path}/cats,{tmp_path}/dogs")
    assert "image_ambiguous" in codes(found)


def test_karpathys_folder_says_which_image_is_meant(tmp_path):
    write_images(tmp_path, "train/0.jpg", "test/0.jpg")
    images = [
        {
            "filepath": split,
            "filename": "0.jpg",
            "imgid": n,
            "split": split,
            "sentences": [{"raw": "a dog"}],
        }
        for n, split in enumerate(("test", "train"))
    ]
    (tmp_path / "dataset.json").write_text(json.dumps({"images": images}))
    for images_folder in ("", str(tmp_path), str(tmp_path / "test"), str(tmp_path / "train")):
        found = [
            e.uri.removeprefix(f"{tmp_path}/")
            for e in entries(tmp_path / "dataset.json", images_folder)
        ]
        assert found == ["test/0.jpg", "train/0.jpg"], images_folder


def test_a_second_folder_of_images_counts(tmp_path):
    write_images(tmp_path, "one/0.jpg", "two/1.jpg")
    (tmp_path / "d.csv").write_text("image,caption\n0.jpg,a dog\n1.jpg,a cat\n")
    found = captions(tmp_path / "d.csv", f"{tmp_path}/one, {tmp_path}/two")
    assert found == {"0.jpg": ["a dog"], "1.jpg": ["a cat"]}
    assert all(
        Path(e.uri).exists() for e in entries(tmp_path / "d.csv", f"{tmp_path}/one,{tmp_path}/two")
    )


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("images\\0 1.jpg", "images/0 1.jpg"),
        ("0%201.jpg", "0 1.jpg"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("0", "0.jpg"),
    ],
)
def test_names_as_other_systems_write_them(tmp_path, said, name):
    write_images(tmp_path, name)
    (tmp_path / "d.jsonl").write_text(json.dumps({"image": said, "caption": "a dog"}) + "\n")
    (entry,) = entries(tmp_path / "d.jsonl")
    assert (Path(entry.uri).exists(), entry.findings) == (True, [])


@pytest.mark.parametrize("mark", ["is_rejected", "is_precanned"])
def test_what_a_dataset_marks_as_unusable_is_left_out_in_every_format(tmp_path, mark):
    write_images(tmp_path, "a.jpg")
    rows = [("a dog", False), ("no idea", True)]
    coco = {"images": [{"id": 1, "file_name": "a.jpg"}],
            "annotations": [{"image_id": 1, "caption": c, mark: m} for c, m in rows]}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(coco))
    lines = [json.dumps({"image": "a.jpg", "caption": c, mark: m}) + "\n" for c, m in rows]
    (tmp_path / "b.jsonl").write_text("".join(lines))
    text = "".join(f"a.jpg,{c},{int(m)}\n" for c, m in rows)
    (tmp_path / "c.csv").write_text(f"image,caption,{mark}\n{text}")
    sentences = [{"raw": c, mark: m} for c, m in rows]
    karpathy = {"images": [{"filename": "a.jpg", "split": "train", "sentences": sentences}]}
    (tmp_path / "d.json").write_text(json.dumps(karpathy))
    for name in ("a.json", "b.jsonl", "c.csv", "d.json"):
        (entry,) = entries(tmp_path / name)
        assert (entry.captions, entry.left_out) == (["a dog"], [("caption_rejected", "no idea")]), (
            name
        )


def hf_rows(num: int = 3) -> list[dict]:
    return [
        {"image": {"bytes": photo(n), "path": f"{n}.jpg"}, "caption": [f"a dog {n}", "a cat"]}
        for n in range(num)
    ]


@pytest.mark.parametrize("compression", ["snappy", "none", "zstd"])
@pytest.mark.parametrize("rows_per_group", [1, 2, 1000])
def test_images_inside_parquet(tmp_path, compression, rows_per_group):
    (tmp_path / "data").mkdir()
    table = pa.Table.from_pylist(hf_rows(5))
    pq.write_table(
        table,
        tmp_path / "data/train-00000-of-00001.parquet",
        rows_per_group,
        compression=compression,
    )
    found = entries(tmp_path / "data")
    assert [e.split for e in found] == ["train"] * 5
    assert [e.image_id for e in found] == [f"{n}.jpg" for n in range(5)]
    for n in (4, 0, 2, 3, 1):
        assert read_image(found[n].uri) == photo(n)
    assert load_image(found[0].uri).size == (40, 36)


def test_large_row_groups_of_parquet_are_read_by_a_cursor(tmp_path, monkeypatch):
    monkeypatch.setattr("dico.images.parquet.KEPT_BYTES", 0)
    pq.write_table(pa.Table.from_pylist(hf_rows(40)), tmp_path / "d.parquet")
    found = entries(tmp_path / "d.parquet")
    for n in (0, 1, 39, 38, 17):
        assert read_image(found[n].uri) == photo(n)


def test_a_column_of_bytes_as_img2dataset_writes_it(tmp_path):
    rows = [
        {"key": str(n), "jpg": photo(n), "caption": f"a dog {n}", "url": "http://a/b.jpg"}
        for n in range(2)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    found = entries(tmp_path / "d.parquet")
    assert [(read_image(e.uri), e.captions, e.findings) for e in found] == [
        (photo(n), [f"a dog {n}"], []) for n in range(2)
    ]


def test_a_row_for_each_caption_of_an_image_in_a_table(tmp_path):
    rows = [
        {"image": {"bytes": photo(n // 2), "path": None}, "caption": f"a dog {n}"} for n in range(4)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    found = list(read_entries(detect(str(tmp_path / "d.parquet")), pixels=True))
    assert [(e.captions, e.num_rows) for e in found] == [
        (["a dog 0", "a dog 1"], 2),
        (["a dog 2", "a dog 3"], 2),
    ]


@pytest.mark.parametrize("form", ["stream", "file"])
def test_what_save_to_disk_writes(tmp_path, form):
    folder = tmp_path / "train"
    folder.mkdir()
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    (folder / "state.json").write_text(
        '{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}'
    )
    (folder / "dataset_info.json").write_text("{}")
    table = pa.Table.from_pylist(hf_rows())
    new = pa.ipc.new_stream if form == "stream" else pa.ipc.new_file
    with new(str(folder / "data-00000-of-00001.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    found = entries(tmp_path)
    assert [(read_image(e.uri), e.captions, e.split) for e in found] == [
        (photo(n), [f"a dog {n}", "a cat"], "train") for n in range(3)
    ]


def test_an_arrow_file_whose_rows_indices_choose_is_refused(tmp_path):
    """`Dataset.select(...).save_to_disk` of old versions keeps all rows and a list of indices."""
    state = {"_data_files": [{"filename": "d.arrow"}]}
    state["_indices_data_files"] = [{"filename": "indices.arrow"}]
    (tmp_path / "state.json").write_text(json.dumps(state))
    table = pa.Table.from_pylist(hf_rows())
    with pa.ipc.new_stream(str(tmp_path / "d.arrow"), table.schema) as writer:
        writer.write_table(table)
    reading = list(read_entries(detect(str(tmp_path / "d.arrow")), pixels=True))
    assert [(e.findings[0][0], e.captions) for e in reading] == [("file_malformed", [])]
    assert "flatten_indices()" in reading[0].findings[0][1]


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("prefix", ["", "data:image/jpeg;base64,", "b'"])
def test_images_in_base64_within_lines(tmp_path, wrapped, prefix):
    encode = base64.encodebytes if wrapped else base64.urlsafe_b64encode
    texts = [
        prefix + encode(photo(n)).decode() + prefix[1:2] * (len(prefix) == 2) for n in range(3)
    ]
    lines = [
        json.dumps({"id": f"\u00e9{n}", "image": t, "captions": [f"a dog {n}"]})
        for n, t in enumerate(texts)
    ]
    (tmp_path / "d.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = entries(tmp_path / "d.jsonl")
    assert [(read_image(e.uri), e.captions, e.image_id) for e in found] == [
        (photo(n), [f"a dog {n}"], f"\u00e9{n}") for n in range(3)
    ]


def test_ofas_table(tmp_path):
    lines = []
    for n in range(3):
        said = f"a dog {n}&&a cat" if n else "a dog 0"
        lines.append(
            f"{n}\tid{n}\t{said}\tdog&&grass\t{base64.urlsafe_b64encode(photo(n)).decode()}\n"
        )
    (tmp_path / "caption_train.tsv").write_text("".join(lines))
    found = entries(tmp_path / "caption_train.tsv")
    assert sorted(
        (e.image_id, tuple(e.captions), read_image(e.uri) == photo(int(e.image_id[2:])))
        for e in found
    ) == [
        ("id0", ("a dog 0",), True),
        ("id1", ("a dog 1", "a cat"), True),
        ("id2", ("a dog 2", "a cat"), True),
    ]


def test_cc3ms_table_says_that_its_images_are_addresses(tmp_path):
    (tmp_path / "Train_GCC-training.tsv").write_text(
        "a very typical bus station\thttp://example.org/1.jpg\nsierra looked stunning in this top\thttps://e.org/x?y=1\n"
    )
    found = entries(tmp_path / "Train_GCC-training.tsv")
    assert codes(found) == ["image_address", "image_address"]
    assert [e.captions for e in found] == [
        ["a very typical bus station"],
        ["sierra looked stunning in this top"],
    ]


def test_textcaps(tmp_path):
    write_images(tmp_path, "train_images/x1.jpg")
    data = [{"image_id": "x1", "image_path": "train/x1.jpg", "caption_str": text, "reference_strs": TWO, "set_name": "train"}
            for text in TWO]  # fmt: skip
    (tmp_path / "TextCaps_0.1_train.json").write_text(
        json.dumps({"dataset_name": "textcaps", "data": data})
    )
    (entry,) = entries(tmp_path / "TextCaps_0.1_train.json")
    assert (entry.captions, entry.split, entry.image_id) == (TWO, "train", "x1")
    assert Path(entry.uri).name == "x1.jpg"
    assert Path(entry.uri).exists()


def test_llavas_conversations(tmp_path):
    write_images(tmp_path, "0/a.jpg", "0/b.jpg")

    def talk(name: str, *said: str) -> dict:
        turns = [{"from": ("human", "gpt")[n % 2], "value": text} for n, text in enumerate(said)]
        return {"id": name, "image": f"0/{name}.jpg", "conversations": turns}

    rows = [
        talk("a", "<image>\nDescribe it.", "a dog"),
        talk("b", "What?", "a cat", "Where?", "on a mat"),
    ]
    (tmp_path / "chat.json").write_text(json.dumps(rows))
    found = {e.image_id: e for e in entries(tmp_path / "chat.json")}
    assert found["a"].captions == ["a dog"]
    assert codes([found["b"]]) == ["row_malformed"]
    message = {"images": ["0/a.jpg"], "messages": [{"role": "user", "content": "<image>Say."},
               {"role": "assistant", "content": [{"type": "text", "text": "a dog"}]}]}  # fmt: skip
    (tmp_path / "chat.jsonl").write_text(
        json.dumps(message) + "\n" + json.dumps(message | {"id": 1}) + "\n"
    )
    assert entries(tmp_path / "chat.jsonl")[0].captions == ["a dog"] * 2


def test_localized_narratives(tmp_path):
    write_images(tmp_path, "train2017/000000000139.jpg", "train2017/abc.jpg")
    rows = [{"dataset_id": "mscoco", "image_id": name, "annotator_id": 1, "caption": f"In this image {name}", "traces": [[{"x": 1}]]}
            for name in ("139", "abc")]  # fmt: skip
    (tmp_path / "coco_train_localized_narratives.jsonl").write_text(
        "".join(json.dumps(r) + "\n" for r in rows)
    )
    assert captions(tmp_path / "coco_train_localized_narratives.jsonl") == {
        "000000000139.jpg": ["In this image 139"],
        "abc.jpg": ["In this image abc"],
    }


def test_a_json_object_from_images_to_captions(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "d.json").write_text(json.dumps({"a.jpg": TWO, "b": "a cat"}))
    assert captions(tmp_path / "d.json") == {"a.jpg": TWO, "b.jpg": ["a cat"]}


def test_flickr8ks_folder(tmp_path):
    write_images(tmp_path, "Images/a.jpg", "Images/b.jpg", "Images/c.jpg")
    text = tmp_path / "Flickr8k_text"
    text.mkdir()
    tokens = [f"{n}.jpg#{k}\tA dog , number {k} ." for n in "abc" for k in range(2)]
    (text / "Flickr8k.token.txt").write_text("\n".join(tokens) + "\n")
    (text / "Flickr8k.lemma.token.txt").write_text("\n".join(tokens) + "\n")
    (text / "ExpertAnnotations.txt").write_text("a.jpg\tb.jpg#2\t1\t1\t2\n")
    (text / "CrowdFlowerAnnotations.txt").write_text("a.jpg\tb.jpg#2\t0\t0\t3\n")
    (text / "readme.txt").write_text("about this\n")
    for name, split in (("a", "train"), ("b", "dev"), ("c", "test")):
        (text / f"Flickr_8k.{split}Images.txt").write_text(f"{name}.jpg\n")
    found = {Path(e.uri).name: (len(e.captions), e.split) for e in entries(text)}
    assert found == {"a.jpg": (2, "train"), "b.jpg": (2, "validation"), "c.jpg": (2, "test")}
    assert all(Path(e.uri).exists() for e in entries(text))


def test_lists_tell_the_splits_of_a_table_with_a_header(tmp_path):
    write_images(tmp_path, *(f"Images/{name}.jpg" for name in "abcde"))
    rows = "".join(f"{name}.jpg,a dog\n" for name in "abcde")
    (tmp_path / "captions.txt").write_text(f"image,caption\n{rows}")
    for split, names in (("train", "ad"), ("dev", "b"), ("test", "cd")):
        lines = "".join(f"{name}.jpg\n" for name in names)
        (tmp_path / f"Flickr_8k.{split}Images.txt").write_text(lines)
    found = {entry.image_id: (entry.split, codes([entry])) for entry in entries(tmp_path)}
    assert found == {
        "a.jpg": ("train", []),
        "b.jpg": ("validation", []),
        "c.jpg": ("test", []),
        "d.jpg": ("", ["split_conflict"]),
        "e.jpg": ("", ["split_unlisted"]),
    }


def test_ids_of_captions_are_no_ids_of_images(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "d.csv").write_text(
        "id,image,caption\n1,a.jpg,a dog\n2,a.jpg,a cat\n3,b.jpg,a cow\n"
    )
    found = entries(tmp_path / "d.csv")
    assert codes(found) == []
    assert [e.image_id for e in found] == ["a.jpg", "3"]


def test_a_folder_says_what_it_lacks(tmp_path):
    write_images(tmp_path, "cat/a.jpg", "dog/b.jpg")
    with pytest.raises(DataError, match="2 images in folders such as cat, dog, and no captions"):
        detect(str(tmp_path))
    (tmp_path / "a.csv").write_text("image,caption\ncat/a.jpg,a cat\n")
    (tmp_path / "b.csv").write_text("image,caption\ndog/b.jpg,a dog\n")
    with pytest.raises(UsageError, match=r"several csv files \(a.csv, b.csv\)"):
        detect(str(tmp_path))
