"""The real pipeline, all steps, on a very small toy dataset: what a run leaves, caches and re-runs."""

import json
import os

import pytest

from dico.registry import open_registry
from dico_pipelines.compile import FOLDER
from dico_pipelines.local.run_folder import PLACES
from dico_pipelines.local.runner import run

pytestmark = pytest.mark.slow

OVERRIDES = (
    "toy.num_train=60 toy.num_validation=20 toy.num_test=24 validation.near_duplicates=false "
    "evaluator.num_word_steps=3 evaluator.num_pac_steps=3 "
    "judge.num_word_steps=3 judge.num_pac_steps=3 "
    "xe.num_steps=4 xe.batch_size=40 xe.micro_batch_size=40 xe.num_validation_images=10 "
    "xe.validate_every_steps=2 "
    "finetune.num_steps=3 finetune.num_validation_images=10 finetune.validate_every_steps=3 "
    "evaluation.meteor=false audit.allow_unfit=true"
)


long = pytest.mark.skipif(
    not os.environ.get("DICO_TEST_LONG"), reason="a minute of training; set DICO_TEST_LONG=1"
)


def start(runs, name, more="", pipeline="dico", *arguments):
    overrides = f"overrides={OVERRIDES} {more}".strip()
    return run(FOLDER / f"{pipeline}.yaml", [overrides, *arguments], runs, name)


def steps_of(folder):
    return {step["step"]: step for step in json.loads((folder / "run.json").read_text())["steps"]}


def fresh_steps(folder):
    """The steps that were not cached."""
    steps = json.loads((folder / "run.json").read_text())["steps"]
    return {step["step"] for step in steps if step["status"] == "done"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("toy") / "runs"


@pytest.fixture(scope="module")
def first(runs):
    return start(runs, "first")


def test_the_run_folder_holds_everything(first):
    steps = steps_of(first)
    places = [place for (step, _), place in PLACES.items() if step in steps]
    assert len(places) == 20
    for place in places:
        assert (first / place).exists(), place
    metrics = json.loads((first / "evaluation" / "metrics.json").read_text())
    assert metrics["num_images"] == 24
    assert {"dico", "xe", "human"} <= set(metrics["systems"])
    assert len((first / "captions" / "dico.jsonl").read_text().splitlines()) == 24
    page = (first / "report.html").read_text()
    assert "The toy dataset" in page
    assert "http" not in page


def test_the_model_is_registered_with_its_lineage(first, runs):
    (version,) = open_registry(runs / "registry").versions("toy")
    folder = open_registry(runs / "registry").fetch(version, runs)
    lineage = json.loads((folder / "lineage.json").read_text())
    assert lineage["preset"] == "toy"
    assert lineage["fingerprint"] == steps_of(first)["validate_dataset"]["outputs"]["fingerprint"]
    weights = "captioner/model.safetensors"
    assert (folder / weights).read_bytes() == (first / "models/dico/model.safetensors").read_bytes()


def test_a_second_run_trains_nothing(first, runs):
    start(runs, "second")
    always = {
        "preflight",
        "prepare_weights",
        "check_pod",
        "register_model",
        "summarise_run",
    }
    # The first run may have made a champion, which the second is compared with.
    assert fresh_steps(runs / "second") - {"caption_with_champion", "evaluate_captions"} == always
    assert len(open_registry(runs / "registry").versions("toy")) == 1


def test_an_edited_setting_reruns_only_what_depends_on_it(first, runs):
    edited = start(runs, "edited", "finetune.beta=0.123")
    assert {"finetune_captioner", "evaluate_captions"} <= fresh_steps(edited)
    assert not fresh_steps(edited) & {
        "validate_dataset",
        "train_evaluator",
        "extract_features",
        "pretrain_captioner",
        "generate_captions_xe",
    }


def test_the_summary_tells_of_every_step(first):
    summary = json.loads((first / "summary.json").read_text())
    assert (summary["run"], summary["state"], summary["failed_step"]) == ("first", "SUCCEEDED", "")
    noted = {step["step"] for step in summary["steps"]}
    assert {"preflight", "train_evaluator", "finetune_captioner", "register_model"} <= noted
    assert summary["facts"]["version"] == "1"


@pytest.fixture(scope="module")
def champion(first, runs):
    open_registry(runs / "registry").set_alias("toy", "champion", 1, "chosen by hand")


def test_a_retraining_on_the_same_data_ends_early(champion, runs):
    folder = start(runs, "same", "", "retrain")
    steps = steps_of(folder)
    assert steps["validate_dataset"]["outputs"]["new"] == "false"
    assert "pretrain_captioner" not in steps
    assert list(steps)[-1] == "summarise_run"


@long
def test_a_retraining_goes_on_from_the_champion_with_its_evaluator(champion, runs):
    before = len(open_registry(runs / "registry").versions("toy"))
    folder = start(runs, "further", "", "retrain", "force=true")
    log = (folder / "logs" / "extract-features.log").read_text()
    assert "features: 0/0 images" in log or "features: 0 images" in log
    versions = open_registry(runs / "registry").versions("toy")
    assert len(versions) == before + 1
    one, last = (
        open_registry(runs / "registry").fetch(version, runs)
        for version in (versions[0], versions[-1])
    )
    weights = "evaluator/pac.safetensors"
    assert (one / weights).read_bytes() == (last / weights).read_bytes()
    systems = json.loads((folder / "evaluation" / "metrics.json").read_text())["systems"]
    assert "champion" in systems


@long
def test_a_version_is_scored_beside_the_champion(champion, runs):
    folder = start(runs, "scores", "", "evaluate", "version=1")
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    assert set(metrics["systems"]) == {"dico", "champion", "human"}
    assert metrics["systems"]["dico"]["cider"] == metrics["systems"]["champion"]["cider"]


def test_a_folder_is_captioned_part_by_part_and_only_once(champion, runs, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for path in sorted((runs / "store" / "datasets").rglob("test-0000[0-4].png")):
        (images / path.name).write_bytes(path.read_bytes())
    (images / "broken.jpg").write_bytes(b"no image")
    arguments = [f"inputs={images}", "preset=toy", "part_size=2"]
    destination = [f"destination={tmp_path / 'captions'}"]
    folder = run(FOLDER / "caption.yaml", arguments + destination, runs, "captions")
    outputs = steps_of(folder)["caption_batch"]["outputs"]
    assert outputs["num_captions"] == "5"
    assert outputs["num_failed"] == "1"
    rows = [json.loads(line) for line in (folder / "captions.jsonl").read_text().splitlines()]
    assert [row["image_id"] for row in rows][:2] == ["broken.jpg", "test-00000.png"]
    assert "reason" in rows[0]
    parts = sorted((tmp_path / "captions" / "parts").iterdir())
    times = [part.stat().st_mtime_ns for part in parts]
    assert len(parts) == 3
    run(FOLDER / "caption.yaml", arguments + destination, runs, "again")
    assert [part.stat().st_mtime_ns for part in parts] == times
    assert (tmp_path / "captions" / "captions.jsonl").is_file()
