"""Preflight, the notes of steps, and the summary made from them."""

import json
from pathlib import Path

import pytest

from dico.errors import ConfigError, DataError, UsageError
from dico.models.folds import FILE as FOLDS
from dico.models.generative import FOLDER, SETTINGS_FILE
from dico.preflight import PreflightError
from dico.registry import open_registry
from dico.registry.version import EVALUATOR
from dico.report.run_notes import read_notes, record_note
from dico.steps.accept_dataset import accept_dataset
from dico.steps.find_champion import find_champion
from dico.steps.preflight import preflight
from dico.steps.summarise_run import summarise_run
from dico.validation.accepted import keep_manifest


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("DICO_RUN_ID", "run-1")
    return str(tmp_path / "store")


def summarise(store, tmp_path, state):
    paths = [str(tmp_path / name) for name in ("summary.json", "summary.html", "validation.html")]
    summarise_run("dico", state, store, *paths)
    return json.loads((tmp_path / "summary.json").read_text()), (
        tmp_path / "summary.html"
    ).read_text()


def test_the_summary_names_the_step_that_failed_and_why(store, tmp_path):
    with record_note("preflight", store):
        pass
    with pytest.raises(DataError), record_note("validate_dataset", store):
        raise DataError("the dataset is refused:\n3 <captions> are not text")
    summary, page = summarise(store, tmp_path, "FAILED")
    assert [step["status"] for step in summary["steps"]] == ["done", "failed"]
    assert summary["failed_step"] == "validate_dataset"
    assert summary["reason"] == "the dataset is refused: 3 <captions> are not text"
    assert "3 &lt;captions&gt; are not text" in page
    kept = json.loads((tmp_path / "store" / "runs" / "run-1" / "summary.json").read_text())
    assert kept == summary


def test_facts_of_steps_are_in_the_summary(store, tmp_path):
    with record_note("register_model", store) as facts:
        facts.update(version="3", promoted="true")
    summary, page = summarise(store, tmp_path, "SUCCEEDED")
    assert summary["facts"] == {"version": "3", "promoted": "true"}
    assert "version 3, promoted true" in page


def test_the_summary_is_written_where_the_store_is_out_of_reach(tmp_path, monkeypatch):
    monkeypatch.setenv("DICO_RUN_ID", "run-1")
    (tmp_path / "file").write_text("x")
    summary, _ = summarise(str(tmp_path / "file" / "store"), tmp_path, "FAILED")
    assert summary["state"] == "FAILED"
    assert summary["steps"] == []


def test_without_a_run_nothing_is_noted(tmp_path, monkeypatch):
    monkeypatch.delenv("DICO_RUN_ID", raising=False)
    with record_note("preflight", str(tmp_path / "store")):
        pass
    assert not (tmp_path / "store").exists()


def test_a_note_that_cannot_be_written_changes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DICO_RUN_ID", "run-1")
    (tmp_path / "file").write_text("x")
    with record_note("preflight", str(tmp_path / "file" / "store")):
        pass
    assert "could not be written" in capsys.readouterr().err


def test_no_secret_is_noted(store, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2hunter2hunter2")
    with pytest.raises(DataError), record_note("preflight", store):
        raise DataError("the server says hunter2hunter2hunter2 is wrong")
    summary, page = summarise(store, tmp_path, "FAILED")
    assert "hunter2" not in page + json.dumps(summary)


def test_notes_of_other_runs_are_left_alone(store, monkeypatch):
    with record_note("preflight", store):
        pass
    monkeypatch.setenv("DICO_RUN_ID", "run-2")
    assert read_notes(store, "run-2") == []


PODS = {
    "gpu_type": "nvidia.com/gpu",
    "gpus": 0,
    "num_nodes": 1,
    "cpu": "4",
    "memory": "16Gi",
    "node_selector": {},
    "tolerations": [],
}


def check(tmp_path, **changes):
    known = {
        "purpose": "train",
        "dataset": "",
        "images": "",
        "preset": "toy",
        "overrides": "toy.num_train=6 toy.num_validation=3 toy.num_test=3",
        "seed": 1,
        "model_name": "",
        "version": "",
        "force": False,
        "store": str(tmp_path / "store"),
        "registry": str(tmp_path / "registry"),
        **PODS,
    }
    return preflight(**(known | changes))


def test_without_gpus_no_kind_of_gpu_is_asked_for(tmp_path):
    ready = check(tmp_path)
    assert (ready.gpu_type, ready.gpus) == ("", "0")
    assert json.loads(ready.pod)["resources"]["limits"] == {"cpu": "4", "memory": "16Gi"}


def test_gpus_leave_as_text(tmp_path):
    ready = check(tmp_path, gpus=2, gpu_type="amd.com/gpu")
    assert (ready.gpu_type, ready.gpus) == ("amd.com/gpu", "2")


@pytest.mark.parametrize(("gpus", "num_nodes", "one"), [(0, 1, "0"), (1, 1, "1"), (8, 4, "1")])
def test_a_step_of_one_process_gets_one_gpu_at_most(tmp_path, gpus, num_nodes, one):
    ready = check(tmp_path, gpus=gpus, num_nodes=num_nodes)
    assert (ready.one_gpu_type, ready.one_gpu) == ("nvidia.com/gpu" if gpus else "", one)


def test_with_several_nodes_the_steps_own_pod_takes_no_gpu(tmp_path):
    tolerations = [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    ready = check(tmp_path, gpus=8, num_nodes=4, tolerations=tolerations)
    assert (ready.gpu_type, ready.gpus) == ("", "0")
    pod = json.loads(ready.pod)
    assert pod["resources"]["limits"]["nvidia.com/gpu"] == "8"
    assert pod["tolerations"] == tolerations


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gpus": -1}, "gpus: must be at least 0, got -1"),
        ({"num_nodes": 0}, "num_nodes: must be at least 1, got 0"),
        ({"gpus": 2.5}, "gpus: expected a whole number, got 2.5"),
        ({"seed": 2**53}, "seed: 9007199254740992 is 2.53 or more"),
        ({"memory": "lots"}, "memory: expected a quantity such as 4 or 16Gi, got 'lots'"),
        ({"gpus": 1, "gpu_type": ""}, "gpu_type: empty"),
        ({"overrides": "xe.num_stepz=1"}, "xe.num_stepz: unknown setting"),
    ],
)
def test_wrong_settings_stop_the_run_at_once(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        check(tmp_path, **changes)


def test_everything_missing_is_named_at_once(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(PreflightError, match=r"store: .*file.*; dataset: .*none\.jsonl"):
        check(tmp_path, store=str(tmp_path / "file"), dataset=str(tmp_path / "none.jsonl"))


@pytest.mark.parametrize("purpose", ["retrain", "evaluate", "caption"])
def test_without_a_champion_what_needs_one_is_refused_at_once(tmp_path, purpose):
    with pytest.raises(UsageError, match=f"toy: has no champion in .*registry to {purpose} with"):
        check(tmp_path, purpose=purpose)
    with pytest.raises(UsageError, match="version: expected the number of a version, got 'best'"):
        check(tmp_path, purpose=purpose, version="best")
    with pytest.raises(DataError, match="there is no version 7 of toy"):
        check(tmp_path, purpose=purpose, version="7")


def test_the_first_step_names_the_dataset_and_the_model(tmp_path):
    ready = check(tmp_path)
    assert Path(ready.dataset).is_file()
    assert (ready.images, ready.model_name, ready.champion, ready.version) == ("", "toy", "", "")
    assert check(tmp_path).dataset_version == ready.dataset_version
    assert check(tmp_path, seed=2).dataset_version != ready.dataset_version
    assert check(tmp_path, model_name="mine").model_name == "mine"


def test_columns_that_the_settings_name_are_those_of_the_first_step(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("pic,words\na.png,a blue square\n")
    with pytest.raises(PreflightError, match=r"validation\.image_column=NAME"):
        check(tmp_path, dataset=str(path))
    named = "validation.image_column=pic validation.caption_column=words"
    assert check(tmp_path, dataset=str(path), overrides=named).dataset == str(path)


def test_pods_of_a_training_ask_for_what_other_pods_ask_for(tmp_path):
    resources = json.loads(check(tmp_path, num_nodes=2).pod)["resources"]
    assert resources["requests"] == {"cpu": "250m", "memory": "512Mi"}


@pytest.fixture
def champion(tmp_path, store):
    """A registry whose champion was made from dataset ``a``, the manifest of which is kept."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_text("w")
    (tmp_path / "manifest").write_text("m")
    keep_manifest(store, "a", str(tmp_path / "manifest"))
    registry = open_registry(str(tmp_path / "registry"))
    made_from = {"fingerprint": "a", "preset": "toy", "overrides": ""}
    version = registry.register("toy", folder, made_from, "identity")
    registry.set_alias("toy", "champion", version.number, "first")
    return registry.uri


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({}, "a"),
        ({"settings": " toy  "}, "a"),
        ({"settings": "toy xe.num_steps=9"}, ""),
        ({"force": True}, ""),
        ({"purpose": "evaluate"}, ""),
    ],
)
def test_a_retraining_knows_the_champions_dataset(champion, store, changes, known):
    asked = {"settings": "toy ", "force": False, "purpose": "retrain"} | changes
    found = find_champion(champion, "toy", version="", store=store, **asked)
    assert (found.champion, found.version, found.known) == ("1", "1", known)
    kept = f"{store}/manifests/a.parquet" if asked["purpose"] == "retrain" else ""
    assert found.baseline == kept


@pytest.mark.parametrize(
    ("reward", "file", "setting"),
    [
        ("0.1*self-retrieval", FOLDS, "reward_folds=4"),
        ("cider-d + generative", f"{FOLDER}/{SETTINGS_FILE}", "caption_weight above 0"),
    ],
)
def test_a_champion_whose_evaluator_lacks_what_the_reward_asks_for_is_refused_at_once(
    champion, store, tmp_path, reward, file, setting
):
    arguments = ("toy", "", "retrain", "toy", False, store)
    with pytest.raises(ConfigError, match=rf"^toy@1: finetune\.reward: .*evaluator\.{setting}"):
        find_champion(champion, *arguments, reward)
    assert find_champion(champion, *arguments, "pac").version == "1"
    path = tmp_path / "model" / EVALUATOR / file
    path.parent.mkdir(parents=True)
    path.write_text("x")
    version = open_registry(champion).register("toy", tmp_path / "model", {"fingerprint": ""}, "b")
    arguments = ("toy", str(version.number), *arguments[2:])
    assert find_champion(champion, *arguments, reward).version == "2"


@pytest.fixture
def checked(tmp_path):
    for name in ("manifest", "report.html"):
        (tmp_path / name).write_text(name)
    return {"manifest": str(tmp_path / "manifest"), "report": str(tmp_path / "report.html")}


@pytest.mark.parametrize(("known", "new"), [("", "true"), ("b", "true"), ("a", "false")])
def test_an_accepted_dataset_is_kept_and_new_unless_known(store, checked, known, new):
    outputs = accept_dataset("true", "a", "", known=known, store=store, **checked)
    assert outputs == ("a", new)
    assert Path(f"{store}/manifests/a.parquet").read_text() == "manifest"


def test_a_refused_dataset_stops_the_run_and_keeps_its_report(store, checked, tmp_path):
    kept = f"{store}/runs/run-1/validation.html"
    with pytest.raises(DataError, match=f"the dataset is refused: too few; see {kept}"):
        accept_dataset("false", "a", "too few", known="", store=store, **checked)
    assert not Path(f"{store}/manifests").exists()
    summarise(store, tmp_path, "FAILED")
    assert (tmp_path / "validation.html").read_text() == "report.html"
