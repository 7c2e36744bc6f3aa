"""A dataset's version changes with its annotations and images, and with nothing else."""

import json
import os

import pytest
from PIL import Image

from dico.data.dataset_version import dataset_version
from dico.errors import DataError


@pytest.fixture
def dataset(tmp_path):
    lines = []
    for i in range(3):
        Image.new("RGB", (8, 8), (i, i, i)).save(tmp_path / f"{i}.png")
        lines.append(json.dumps({"image": f"{i}.png", "captions": ["a square"], "split": "train"}))
    (tmp_path / "data.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path / "data.jsonl"


def test_same_files_have_the_same_version(dataset):
    assert dataset_version(str(dataset)) == dataset_version(str(dataset))


def test_changed_image_changes_the_version(dataset):
    before = dataset_version(str(dataset))
    os.utime(dataset.with_name("1.png"), ns=(1, 1))
    assert dataset_version(str(dataset)) != before


def test_removed_image_changes_the_version(dataset):
    before = dataset_version(str(dataset))
    dataset.with_name("1.png").unlink()
    assert dataset_version(str(dataset)) != before


def test_changed_annotations_change_the_version(dataset):
    before = dataset_version(str(dataset))
    dataset.write_text(dataset.read_text().replace("a square", "two squares"))
    assert dataset_version(str(dataset)) != before


def test_other_files_do_not_matter(dataset):
    before = dataset_version(str(dataset))
    dataset.with_name("notes.md").write_text("hello")
    assert dataset_version(str(dataset)) == before


def test_missing_dataset_is_bad_data(tmp_path):
    with pytest.raises(DataError, match=r"none\.jsonl"):
        dataset_version(str(tmp_path / "none.jsonl"))
