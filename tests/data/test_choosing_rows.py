"""Rows that the user chooses by a column, as one language of several, and columns that sort rows."""

import json

import pytest

from dico.data.formats import Columns, detect, read_entries
from dico.errors import DataError, UsageError
from dico.validation.config import ValidationConfig
from dico.validation.validate import validate
from tests.data.test_layouts import captions, entries, write_images

ROWS = [
    {"image": f"images/{n}.jpg", "caption": text, "language": language}
    for n in range(2)
    for language, text in (("en", "a dog runs"), ("de", "ein Hund rennt"))
]


def write_rows(folder, rows, name="data.jsonl"):
    write_images(folder / "images", "0.jpg", "1.jpg")
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / name


def read(path, **columns):
    dataset = detect(str(path), columns=Columns.named(**columns))
    return list(read_entries(dataset))


def test_one_language_is_read_and_the_other_is_counted(tmp_path):
    found = read(write_rows(tmp_path, ROWS), where="language=EN")
    assert [entry.captions for entry in found] == [["a dog runs"]] * 2
    assert {tuple(entry.left_out) for entry in found} == {
        (("caption_not_chosen", "ein Hund rennt"),)
    }


def test_several_conditions_all_hold(tmp_path):
    rows = [row | {"quality": n % 3} for n, row in enumerate(ROWS)]
    found = read(write_rows(tmp_path, rows), where="language=en,quality=2")
    assert [entry.captions for entry in found] == [[], ["a dog runs"]]


@pytest.mark.parametrize("where", ["language", "=en", "language=en,quality"])
def test_a_condition_that_is_none_is_refused(where):
    with pytest.raises(UsageError, match="COLUMN=VALUE"):
        Columns.named(where=where)


def test_a_column_that_sorts_rows_is_named_with_its_values(tmp_path):
    dataset = str(write_rows(tmp_path, ROWS))
    config = ValidationConfig(image_check="skip", num_workers=1)
    told = validate(dataset, "", config, tmp_path / "m.parquet", tmp_path / "out").fidelity
    label = "column language of de, en; --where language=de reads these alone"
    assert told["unread"] == {label: 4}


def test_an_image_without_a_chosen_row_is_left_out_and_fails_nothing(tmp_path):
    dataset = str(write_rows(tmp_path, ROWS[:3]))
    config = ValidationConfig(image_check="skip", num_workers=1, where="language=de")
    result = validate(dataset, "", config, tmp_path / "m.parquet", tmp_path / "out")
    assert result.num_images == 1
    assert not any("captions" in reason for reason in result.reasons)


def test_captions_by_language_ask_which(tmp_path):
    row = {"image": "images/0.jpg", "captions": {"en": ["a dog"], "de": ["ein Hund"]}}
    path = write_rows(tmp_path, [row])
    (asked,) = read(path)
    assert asked.captions == []
    assert "--caption-column COLUMN.en" in asked.findings[0][1]
    assert [entry.captions for entry in read(path, captions="captions.de")] == [["ein Hund"]]


def test_tags_beside_a_sentence_are_no_captions(tmp_path):
    write_images(tmp_path, "0.jpg", "1.jpg")
    for n in range(2):
        (tmp_path / f"{n}.caption").write_text("a dog runs on a beach\n")
        (tmp_path / f"{n}.txt").write_text("1dog, outdoors, beach, sky\n")
    first, _ = entries(tmp_path)
    assert first.captions == ["a dog runs on a beach"]
    assert first.left_out == [("caption_tags_beside", "1dog, outdoors, beach, sky")]


def test_tags_alone_stay(tmp_path):
    write_images(tmp_path, "0.jpg", "1.jpg")
    for n in range(2):
        (tmp_path / f"{n}.txt").write_text("1dog, outdoors, beach\n")
    assert [entry.captions for entry in entries(tmp_path)] == [["1dog, outdoors, beach"]] * 2


def test_lists_line_by_line_are_named_with_the_command_that_joins_them(tmp_path):
    write_images(tmp_path / "images", "0.jpg", "1.jpg")
    (tmp_path / "images.txt").write_text("0.jpg\n1.jpg\n")
    (tmp_path / "texts.txt").write_text("a dog runs\ntwo men cook\n")
    with pytest.raises(DataError, match=r"paste images.txt texts.txt > captions.tsv"):
        detect(str(tmp_path))


def test_a_list_of_regions_names_the_columns(tmp_path):
    write_images(tmp_path / "images", "0.jpg", "1.jpg")
    rows = [{"id": n, "regions": [{"phrase": "a dog"}, {"phrase": "a clock"}]} for n in range(2)]
    (tmp_path / "regions.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match="a JSON list of the columns id, regions"):
        detect(str(tmp_path / "regions.json"))
    found = read(tmp_path / "regions.json", captions="regions.phrase")
    assert [entry.captions for entry in found] == [["a dog", "a clock"]] * 2


def test_bytes_as_python_prints_them_are_named(tmp_path):
    (tmp_path / "data.csv").write_text(f'image,caption\n"{bytes([255, 216])!r}",a dog\n')
    (entry,) = entries(tmp_path / "data.csv")
    assert entry.findings[0][0] == "image_embedded"
    assert "bytes as Python prints them" in entry.findings[0][1]


def test_a_tilde_between_cells(tmp_path):
    write_images(tmp_path / "images", "0.jpg", "1.jpg")
    (tmp_path / "data.csv").write_text("image~caption\nimages/0.jpg~a dog, and a cat\n")
    assert captions(tmp_path / "data.csv") == {"0.jpg": ["a dog, and a cat"]}
