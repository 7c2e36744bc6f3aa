"""The real pipeline, all steps, on a very small world: what a run leaves, caches and re-runs."""

import json

import pytest

from dico.registry import open_registry
from pipelines.compile import FOLDER
from pipelines.local import run
from pipelines.run_folder import PLACES

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("toy_run")]

OVERRIDES = (
    "toy.num_train=60 toy.num_validation=20 toy.num_test=24 validation.near_duplicates=false "
    "evaluator.num_clip_steps=3 evaluator.num_pac_steps=3 "
    "xe.num_steps=4 xe.batch_size=40 xe.micro_batch_size=40 xe.num_validation_images=10 "
    "xe.validate_every_steps=2 "
    "finetune.num_steps=3 finetune.num_validation_images=10 finetune.validate_every_steps=3 "
    "evaluation.meteor=false"
)


def start(runs, name, more=""):
    return run(FOLDER / "dico.yaml", [f"overrides={OVERRIDES} {more}".strip()], runs, name)


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
    for place in PLACES.values():
        assert (first / place).exists(), place
    metrics = json.loads((first / "evaluation" / "metrics.json").read_text())
    assert metrics["num_images"] == 24
    assert {"dico", "xe", "human"} <= set(metrics["systems"])
    assert len((first / "captions" / "dico.jsonl").read_text().splitlines()) == 24
    page = (first / "report.html").read_text()
    assert "The small world" in page
    assert "http" not in page


def test_the_model_is_registered_with_its_lineage(first, runs):
    (version,) = open_registry(runs / "registry").versions("toy")
    folder = open_registry(runs / "registry").fetch(version, runs)
    lineage = json.loads((folder / "lineage.json").read_text())
    assert lineage["preset"] == "toy"
    assert (
        lineage["fingerprint"]
        in json.loads((first / "run.json").read_text())["steps"][2]["outputs"].values()
    )
    weights = "captioner/model.safetensors"
    assert (folder / weights).read_bytes() == (first / "models/dico/model.safetensors").read_bytes()


def test_a_second_run_trains_nothing(first, runs):
    start(runs, "second")
    always = {
        "resolve_dataset",
        "find_champion",
        "compare_models",
        "report_run",
        "register_model",
    }
    # The first run may have made a champion, which the second is compared with.
    assert fresh_steps(runs / "second") - {"caption_with_champion", "evaluate_captions"} == always
    assert len(open_registry(runs / "registry").versions("toy")) == 1


def test_an_edited_setting_reruns_only_what_depends_on_it(first, runs):
    edited = start(runs, "edited", "finetune.beta=0.123")
    assert {"finetune_captioner", "generate_captions_dico"} <= fresh_steps(edited)
    assert not fresh_steps(edited) & {
        "validate_dataset",
        "train_evaluator",
        "extract_features",
        "pretrain_captioner",
        "generate_captions_xe",
    }
