"""Names of images and texts that are written in more than one way."""

import pytest

from dico.data.formats import detect
from dico.errors import DataError
from tests.data.test_layouts import codes, entries, write_images


def table(tmp_path, *rows):
    (tmp_path / "d.csv").write_text("image,caption\n" + "".join(f"{row}\n" for row in rows))
    return entries(tmp_path / "d.csv")


def test_a_name_in_another_case_is_not_guessed_among_several(tmp_path):
    write_images(tmp_path, "Dog.jpg", "dog.jpg", "cat.jpg")
    other, dog, cat = table(tmp_path, "dog.jpg,a dog", "DOG.jpg,which dog", "Cat.jpg,a cat")
    assert (dog.uri, cat.uri) == (f"{tmp_path}/dog.jpg", f"{tmp_path}/cat.jpg")
    assert other.uri == ""
    assert [code for code, _ in other.findings] == ["image_ambiguous"]
    assert f"DOG.jpg may be {tmp_path}/Dog.jpg, {tmp_path}/dog.jpg" in other.findings[0][1]


@pytest.mark.parametrize("other", ["A%20b.JPG", "./a b.jpg", ".\\a b.jpg", "a b.jpg "])
def test_one_name_in_two_spellings_is_one_image(tmp_path, other):
    write_images(tmp_path, "a b.jpg")
    (entry,) = table(tmp_path, "a b.jpg,a dog", f"{other},a brown dog")
    assert (entry.captions, entry.findings) == (["a dog", "a brown dog"], [])


def test_two_names_of_one_file_are_still_two_ids(tmp_path):
    write_images(tmp_path, "1.jpg")
    (entry,) = table(tmp_path, "/gone/x/1.jpg,a dog", "/gone/y/1.jpg,a cat")
    assert codes([entry]) == ["image_two_ids"]


def test_a_share_of_windows_is_another_machine(tmp_path):
    write_images(tmp_path / "images", "1.jpg")
    (entry,) = table(tmp_path, "\\\\server\\share\\images\\1.jpg,a dog")
    assert (entry.uri, entry.findings) == (f"{tmp_path}/images/1.jpg", [])


def test_addresses_of_files_and_of_other_stores(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_images(tmp_path, "a b.jpg", "c.jpg")
    address = f"file://{tmp_path}/a%20b.jpg"
    found = table(tmp_path, f"{address},a dog", "~/c.jpg,a cat", "gs://bucket/c.jpg,a cat")
    assert {entry.image_id: entry.uri for entry in found} == {
        address: f"{tmp_path}/a b.jpg", "~/c.jpg": f"{tmp_path}/c.jpg", "gs://bucket/c.jpg": "gs://bucket/c.jpg",
    }  # fmt: skip
    assert codes(found) == ["image_address"]


def test_columns_that_pandas_counts_are_captions(tmp_path):
    write_images(tmp_path, "a.jpg")
    (tmp_path / "d.csv").write_text("image,caption,caption.1\na.jpg,a dog,a brown dog\n")
    (entry,) = entries(tmp_path / "d.csv")
    assert entry.captions == ["a dog", "a brown dog"]


@pytest.mark.parametrize("suffix", ["jfif", "jpe"])
def test_other_suffixes_of_jpeg(tmp_path, suffix):
    write_images(tmp_path, f"a.{suffix}")
    (tmp_path / "a.txt").write_text("a dog")
    (entry,) = entries(tmp_path)
    assert (entry.uri, entry.captions) == (f"{tmp_path}/a.{suffix}", ["a dog"])


@pytest.mark.parametrize(
    ("lines", "captions"),
    [
        (["a.jpg,a dog runs,,", "b.jpg,a cat, asleep,,"], ["a dog runs", "a cat, asleep"]),
        (["a.jpg,a dog runs,", "b.jpg,a cat, asleep"], ["a dog runs,", "a cat, asleep"]),
        (["a.jpg,a dog runs,,", "b.jpg,a cat,"], ["a dog runs,", "a cat"]),
    ],
)
def test_empty_cells_at_the_end_of_every_line_are_no_text(tmp_path, lines, captions):
    write_images(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "captions.txt").write_text("".join(f"{line}\r\n" for line in lines))
    assert [entry.captions[0] for entry in entries(tmp_path / "captions.txt")] == captions


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-32"])
def test_texts_of_several_bytes_a_letter(tmp_path, encoding):
    write_images(tmp_path, "a.jpg")
    (tmp_path / "d.csv").write_bytes("image,caption\na.jpg,a café\n".encode(encoding))
    (tmp_path / "a.txt").write_bytes("a café\n".encode(encoding))
    assert [entry.captions for entry in entries(tmp_path / "d.csv")] == [["a café"]]
    (tmp_path / "d.csv").unlink()
    assert [entry.captions for entry in entries(tmp_path)] == [["a café"]]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"PK\x03\x04" + bytes(500), "Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "Excel or Word file of the old kind"),
        (b"SQLite format 3\x00" + bytes(500), "SQLite database"),
    ],
)
@pytest.mark.parametrize("name", ["d.csv", "d.xlsx", "d.json", "d.jsonl"])
def test_a_file_of_another_kind_is_named_whatever_it_is_called(tmp_path, data, told, name):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=told):
        detect(str(tmp_path / name))
