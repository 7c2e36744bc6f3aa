"""From a dataset to a registered captioner: the same bits twice, and bad input in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from dico_pipelines.compile import FOLDER
from dico_pipelines.local.runner import run

pytestmark = pytest.mark.slow

OVERRIDES = (
    "toy.num_train=48 toy.num_validation=12 toy.num_test=24 validation.near_duplicates=false "
    "evaluator.num_word_steps=2 evaluator.num_pac_steps=2 evaluator.batch_size=16 "
    "judge.num_word_steps=2 judge.num_pac_steps=2 judge.batch_size=16 "
    "xe.num_steps=3 xe.batch_size=40 xe.micro_batch_size=20 xe.num_validation_images=6 "
    "finetune.num_steps=2 finetune.num_validation_images=6 finetune.batch_size=4 "
    "evaluation.meteor=false evaluation.num_resamples=50 audit.allow_unfit=true"
)
SAME = (
    "models/evaluator/clip.safetensors",
    "models/evaluator/pac.safetensors",
    "models/xe/model.safetensors",
    "models/dico/model.safetensors",
    "captions/xe.jsonl",
    "captions/dico.jsonl",
    "evaluation/metrics.json",
)


@pytest.mark.skipif(
    not os.environ.get("DICO_TEST_LONG"), reason="two whole runs, minutes; set DICO_TEST_LONG=1"
)
def test_two_runs_with_one_seed_are_equal_to_the_byte(tmp_path):
    """In stores of their own, so that nothing but the seed is shared."""
    arguments = [f"overrides={OVERRIDES}", "seed=5"]
    first, second = (
        run(FOLDER / "dico.yaml", arguments, tmp_path / name, "run") for name in ("a", "b")
    )
    for name in SAME:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    summary = json.loads((second / "run.json").read_text())
    assert {step["status"] for step in summary["steps"]} == {"done"}
    for model in ("evaluator", "xe", "dico"):
        training = json.loads((first / "models" / model / "training.json").read_text())
        assert training["seed"] == 5
        assert len(training["dataset_fingerprint"]) == 64
        rows = (first / "models" / model / "history.jsonl").read_text().splitlines()
        assert all("step" in json.loads(row) for row in rows)
        assert (first / "models" / model / "digests.json").is_file()
    lines = (first / "captions/dico.jsonl").read_text().splitlines()
    captions = [json.loads(line) for line in lines]
    assert [caption["image_id"] for caption in captions] == [f"test-{i:05d}" for i in range(24)]


def dico_run(folder, *arguments):
    command = [sys.executable, "-m", "dico", "run", str(FOLDER / "dico.yaml"), *arguments]
    return subprocess.run(
        [*command, "--runs", str(folder / "runs"), "--name", "run"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["preset=toi"], 2, "error: preset: 'toi' is unknown"),
        (["overrides=xe.num_stepz=3"], 2, "error: xe.num_stepz: unknown setting"),
        (["overrides=xe.num_steps=few"], 2, "error: xe.num_steps: expected int, got 'few'"),
        (["presett=toy"], 2, "error: presett: unknown parameter"),
        (["dataset=missing.jsonl"], 65, "missing.jsonl"),
    ],
)
def test_wrong_arguments_cost_one_line_and_leave_nothing(tmp_path, arguments, code, message):
    done = dico_run(tmp_path, *arguments)
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def write_dataset(folder, **bad):
    """Six good images in all splits, of which the second has what ``bad`` says."""
    lines = []
    for number, split in enumerate(["train", "train", "train", "train", "val", "test"]):
        Image.new("RGB", (40, 40), (40 * number, 10, 90)).save(folder / f"{number}.png")
        lines.append({"image": f"{number}.png", "captions": ["a plain picture"], "split": split})
    lines[1].update({k: v for k, v in bad.items() if k == "captions"})
    if "bytes" in bad:
        (folder / "1.png").write_bytes(bad["bytes"])
    (folder / "set.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_an_image_that_does_not_decode_stops_the_run_before_anything_is_trained(tmp_path):
    write_dataset(tmp_path, bytes=b"not an image")
    done = dico_run(tmp_path, "dataset=set.jsonl", "overrides=validation.near_duplicates=false")
    assert_refused(done)
    runs = tmp_path / "runs"
    assert json.loads((runs / "run" / "run.json").read_text())["status"] == "failed"
    assert not (runs / "run" / "models").exists()
    assert not (runs / "registry").exists()
    assert not list(runs.glob("store/checkpoints/*"))
    assert not list(runs.glob("store/features/*"))


def test_an_empty_dataset_is_refused_before_anything_is_trained(tmp_path):
    (tmp_path / "set.jsonl").write_text("")
    assert_refused(dico_run(tmp_path, "dataset=set.jsonl"))
    assert not (tmp_path / "runs" / "run" / "models").exists()
    assert not (tmp_path / "runs" / "registry").exists()


@pytest.mark.parametrize("captions", [[7], [], [None]])
def test_captions_that_are_not_text_are_refused(tmp_path, captions):
    write_dataset(tmp_path, captions=captions)
    command = [sys.executable, "-m", "dico", "validate", "set.jsonl", "--output", "report"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert_refused(done)


def assert_refused(done):
    assert done.returncode == 65, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
