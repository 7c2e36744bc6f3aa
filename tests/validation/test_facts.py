"""Facts beside a dataset: joined into the manifest, counted, refused where they are wrong."""

import json

import pytest

from dico.data.dataset_version import dataset_version
from dico.data.formats import detect, facts_beside
from dico.data.manifest import (
    Record,
    fingerprint,
    read_manifest,
    read_scenes,
    read_vocabulary,
    write_manifest,
)
from dico.data.toy.config import ToyConfig
from dico.data.toy.facts import TOY_VOCABULARY
from dico.data.toy.world import write_toy_dataset
from dico.errors import DataError
from dico.facts import Vocabulary, read_facts
from dico.validation.config import ValidationConfig
from dico.validation.validate import validate

TOY = ToyConfig(num_train=3, num_validation=2, num_test=2, image_side_px=32)
CONFIG = ValidationConfig(near_duplicates=False, num_workers=1)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    write_toy_dataset(folder, TOY, 1)
    return folder


def checked(dataset, folder, config=CONFIG):
    result = validate(str(dataset), "", config, folder / "manifest.parquet", folder / "report")
    summary = json.loads((folder / "report" / "summary.json").read_text())
    return result, summary["dataset"]["facts"], folder / "manifest.parquet"


def test_facts_beside_a_dataset_go_into_its_manifest(toy, tmp_path):
    _, facts, manifest = checked(toy / "dataset.jsonl", tmp_path)
    assert facts == {"file": str(toy / "facts.jsonl"), "num_described": 7, "num_used": 7}
    vocabulary, scenes = read_scenes(manifest, "test")
    known = read_facts(toy / "facts.jsonl")
    assert vocabulary == known[0] == TOY_VOCABULARY
    assert scenes == {i: own for i, own in known[1].items() if i.startswith("test")}


def test_a_folder_with_facts_is_still_one_dataset(toy):
    assert detect(str(toy)).format == "jsonl"
    assert facts_beside(detect(str(toy))) == str(toy / "facts.jsonl")


def test_without_facts_there_are_none(toy, tmp_path):
    entries = (toy / "dataset.jsonl").read_text().replace("images/", f"{toy}/images/")
    (tmp_path / "dataset.jsonl").write_text(entries)
    _, facts, manifest = checked(tmp_path / "dataset.jsonl", tmp_path)
    assert facts == {"file": "", "num_described": 0, "num_used": 0}
    assert read_scenes(manifest) == (None, {})
    assert {record.facts for record in read_manifest(manifest)} == {""}


def test_a_named_file_may_describe_some_and_others(toy, tmp_path):
    lines = (toy / "facts.jsonl").read_text().splitlines()
    other = lines[1].replace("train-00000", "elsewhere")
    (tmp_path / "own.jsonl").write_text("\n".join([lines[0], other, *lines[2:4]]) + "\n")
    settings = ValidationConfig(
        near_duplicates=False, num_workers=1, facts=str(tmp_path / "own.jsonl")
    )
    _, facts, manifest = checked(toy / "dataset.jsonl", tmp_path, settings)
    assert (facts["num_described"], facts["num_used"]) == (3, 2)
    assert [bool(record.facts) for record in read_manifest(manifest)] == [False] + [True] * 2 + [
        False
    ] * 4


@pytest.mark.parametrize("named", [True, False])
def test_wrong_facts_are_refused(toy, tmp_path, named):
    entries = (toy / "dataset.jsonl").read_text().replace("images/", f"{toy}/images/")
    (tmp_path / "dataset.jsonl").write_text(entries)
    (tmp_path / "facts.jsonl").write_text("{}")
    settings = ValidationConfig(num_workers=1, facts=str(tmp_path / "none.jsonl") if named else "")
    message = "no such" if named else "line 1: expected"
    with pytest.raises(DataError, match=f"facts of the dataset: .*{message}"):
        checked(tmp_path / "dataset.jsonl", tmp_path, settings)


def test_new_facts_are_a_new_dataset(toy, tmp_path):
    before = dataset_version(str(toy / "dataset.jsonl"))
    assert dataset_version(str(toy / "dataset.jsonl")) == before
    own = tmp_path / "own"
    write_toy_dataset(own, TOY, 1)
    first = dataset_version(str(own / "dataset.jsonl"))
    text = (own / "facts.jsonl").read_text()
    (own / "facts.jsonl").write_text(text.replace("large", "small", 1) + "\n")
    assert dataset_version(str(own / "dataset.jsonl")) != first


def test_facts_are_part_of_the_fingerprint_where_there_are_any(tmp_path):
    def of(facts, vocabulary=None):
        record = Record("a", "a.png", "0" * 64, 1, 1, 1, ("a dog",), "test", facts=facts)
        write_manifest([record], tmp_path / "m.parquet", vocabulary)
        return fingerprint(tmp_path / "m.parquet")

    without = of("")
    assert read_vocabulary(tmp_path / "m.parquet") is None
    assert of('{"objects":["dog"]}', Vocabulary({"dog": ()})) != without
    assert read_vocabulary(tmp_path / "m.parquet") == Vocabulary({"dog": ()})
    huge = Vocabulary({f"thing {number}" * 10: () for number in range(20_000)})
    with pytest.raises(DataError, match="go into a manifest"):
        of("", huge)
