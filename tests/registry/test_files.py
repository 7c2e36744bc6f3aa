"""The file registry: numbers without gaps, versions that never change, aliases by decision."""

import json
import threading

import pytest

from dico.errors import ConfigError, DataError, DigestError
from dico.registry import identity, open_registry, stage_version


def make_model(folder, weights=b"weights"):
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text("{}")
    return folder


def register(registry, tmp_path, weights, name="toy"):
    folder = make_model(tmp_path / weights.hex() / "captioner", weights).parent
    return registry.register(name, folder, {"seed": 1}, identity(folder / "captioner"))


def test_versions_are_numbered_and_found(tmp_path):
    registry = open_registry(tmp_path / "registry")
    first = register(registry, tmp_path, b"a")
    second = register(registry, tmp_path, b"b")
    assert [first.number, second.number] == [1, 2]
    assert registry.versions("toy") == [first, second]
    assert registry.get("toy", 2) == second
    assert registry.names() == ["toy"]
    assert registry.versions("other") == []


def test_same_model_again_gives_the_old_version(tmp_path):
    registry = open_registry(tmp_path / "registry")
    first = register(registry, tmp_path / "one", b"a")
    again = register(registry, tmp_path / "two", b"a")
    assert again == first
    assert len(registry.versions("toy")) == 1


def test_alias_points_where_it_was_set(tmp_path):
    registry = open_registry(tmp_path / "registry")
    assert registry.champion("toy") is None
    register(registry, tmp_path, b"a")
    second = register(registry, tmp_path, b"b")
    registry.set_alias("toy", "champion", 2, "better")
    assert registry.champion("toy") == second
    with pytest.raises(DataError, match="no version 3 of toy"):
        registry.set_alias("toy", "champion", 3, "wrong")
    assert registry.champion("toy") == second


def test_fetch_checks_every_byte(tmp_path):
    registry = open_registry(tmp_path / "registry")
    version = register(registry, tmp_path, b"abc")
    folder = registry.fetch(version, tmp_path / "cache")
    assert (folder / "captioner" / "model.safetensors").read_bytes() == b"abc"
    (folder / "captioner" / "model.safetensors").write_bytes(b"abd")
    with pytest.raises(DigestError, match=r"model\.safetensors"):
        registry.fetch(version, tmp_path / "cache")


def test_changed_record_is_noticed(tmp_path):
    registry = open_registry(tmp_path / "registry")
    register(registry, tmp_path, b"abc")
    record = tmp_path / "registry" / "toy" / "versions" / "000001.json"
    record.write_text(record.read_text().replace('"seed": 1', '"seed": 2'))
    with pytest.raises(DigestError, match=r"000001\.json"):
        registry.versions("toy")


def test_registry_that_moved_still_finds_its_folders(tmp_path):
    version = register(open_registry(tmp_path / "old"), tmp_path, b"abc")
    (tmp_path / "old").rename(tmp_path / "new")
    moved = open_registry(tmp_path / "new")
    found = moved.get("toy", version.number)
    assert moved.fetch(found, tmp_path / "cache").is_relative_to(tmp_path / "new")


def test_racing_writers_get_different_numbers(tmp_path):
    registry = open_registry(tmp_path / "registry")
    numbers = []

    def write(writer):
        for i in range(5):
            weights = bytes([writer, i])
            numbers.append(register(registry, tmp_path / f"{writer}", weights).number)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 21))
    assert [version.number for version in registry.versions("toy")] == list(range(1, 21))


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b"])
def test_names_stay_inside_the_registry(tmp_path, name):
    with pytest.raises(ConfigError, match="a name is letters"):
        open_registry(tmp_path).versions(name)


def test_staged_version_holds_everything(tmp_path):
    captioner = make_model(tmp_path / "in" / "captioner")
    (captioner / "history.jsonl").write_text("{}\n")
    evaluator = make_model(tmp_path / "in" / "evaluator")
    evaluation = make_model(tmp_path / "in" / "evaluation")
    decision, report = tmp_path / "in" / "decision.json", tmp_path / "in" / "report.html"
    decision.write_text('{"promote": true}')
    report.write_text("<p>report</p>")
    folder = tmp_path / "version"
    folder.mkdir()
    found = stage_version(
        folder, captioner, evaluator, evaluation, decision, report, {"code": "0.1.0"}
    )
    assert found == identity(captioner)
    assert json.loads((folder / "lineage.json").read_text()) == {"code": "0.1.0"}
    assert sorted(path.name for path in folder.iterdir()) == [
        "captioner",
        "decision.json",
        "evaluation",
        "evaluator",
        "lineage.json",
        "report.html",
    ]


def test_identity_ignores_history_but_not_weights(tmp_path):
    one = make_model(tmp_path / "one")
    two = make_model(tmp_path / "two")
    (two / "history.jsonl").write_text("{}\n")
    three = make_model(tmp_path / "three", b"other")
    assert identity(one) == identity(two) != identity(three)
    with pytest.raises(DataError, match="not a captioner's folder"):
        identity(tmp_path)
