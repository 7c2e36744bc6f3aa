"""Vision-language models by one ``dico run`` each, and what users do with the version it makes.

Minutes of CPU: DICO_TEST_LONG=1. Their parts are in `make test`: the steps in tests/steps, the models
in tests/policy.
"""

import json
import os
import subprocess
import sys

import pytest

from dico.data.toy.config import ToyConfig
from dico.data.toy.world import write_toy_dataset
from dico.registry import open_registry
from dico_pipelines.compile import FOLDER
from tests.policy.chat_models import write_qwen, write_smolvlm
from tests.serving.tiny import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        not os.environ.get("DICO_TEST_LONG"), reason="minutes of training; set DICO_TEST_LONG=1"
    ),
]
SMALL = (
    "evaluator.num_clip_steps=3 evaluator.num_pac_steps=3 evaluator.batch_size=8 "
    "judge.enabled=false evaluator.judge_share=0.0 "
    "xe.captions_per_image=1 xe.num_steps=3 xe.batch_size=8 xe.micro_batch_size=8 xe.num_validation_images=4 "
    "xe.validate_every_steps=3 finetune.num_steps=2 finetune.batch_size=4 "
    "finetune.num_validation_images=4 finetune.validate_every_steps=2 finetune.reward=pac "
    "finetune.candidates=beam decoding.num_beams=3 decoding.max_tokens=8 "
    "evaluation.meteor=false evaluation.num_resamples=50 audit.allow_unfit=true "
    "captioner.architecture=huggingface"
)


@pytest.fixture
def toy(tmp_path):
    """A dataset of rendered scenes, and its captions."""
    sizes = ToyConfig(num_train=24, num_validation=8, num_test=12, num_captions=3, image_side_px=32)
    path = write_toy_dataset(tmp_path / "toy", sizes, seed=3)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return path, [text for row in rows for text in row["captions"]]


def dico(tmp_path, *arguments):
    command = [sys.executable, "-m", "dico", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def train(tmp_path, dataset, name, overrides):
    """One command; the run's folder."""
    dico(
        tmp_path,
        "run",
        FOLDER / "dico.yaml",
        f"dataset={dataset}",
        "preset=toy",
        f"model_name={name}",
        f"overrides={SMALL} {overrides}",
        "--name",
        name,
    )
    return tmp_path / "runs" / name


def use(tmp_path, name):
    """Captions of one image by the command and by the server; the version's metadata and card."""
    registry = open_registry(str(tmp_path / "runs" / "registry"))
    (version,) = registry.versions(name)
    image = next((tmp_path / "toy").rglob("*.png"))
    options = ("--registry", tmp_path / "runs" / "registry")
    said = dico(tmp_path, "caption", image, "--model", f"{name}@{version.number}", *options)
    server = Server(f"{name}@{version.number}", *options).wait_ready()
    try:
        status, answer = server.request("POST", "/caption", image.read_bytes())
    finally:
        code, _ = server.stop()
    assert (status, code) == (200, 0), answer
    assert answer["captions"][0]["text"] == said.strip()
    card = (registry.fetch(version, tmp_path / "fetched") / "model_card.md").read_text()
    return version, card


def first_losses(folder):
    """Of DiCO's first step: loss, divergence and margin."""
    text = (folder / "models" / "dico" / "history.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    return next(row for row in rows if "loss" in row)


def test_smolvlm_by_its_name_on_the_hub(tmp_path, hub, toy):
    dataset, captions = toy
    folder = write_smolvlm(tmp_path / "smolvlm", captions)
    commit = hub.push("acme/tiny-smolvlm", folder, licence="apache-2.0")
    run = train(
        tmp_path, dataset, "smolvlm", "captioner.checkpoint=acme/tiny-smolvlm captioner.image_px=64"
    )
    row = first_losses(run)
    assert row["loss"] == pytest.approx(0.6931, abs=1e-3)
    assert hub.fetched["acme/tiny-smolvlm/model.safetensors"] == 1
    systems = json.loads((run / "evaluation" / "metrics.json").read_text())["systems"]
    assert {"pretrained", "xe", "dico", "human"} <= systems.keys()
    assert f"acme/tiny-smolvlm (commit {commit[:12]}" in (run / "report.html").read_text()
    version, card = use(tmp_path, "smolvlm")
    assert "licence apache-2.0" in version.metadata["captioner_origin"]
    assert "acme/tiny-smolvlm" in card


def test_qwen_with_adapters_from_a_folder(tmp_path, toy):
    dataset, captions = toy
    folder = write_qwen(tmp_path / "qwen", captions)
    run = train(
        tmp_path,
        dataset,
        "qwen",
        f"captioner.checkpoint={folder} captioner.lora_rank=4 captioner.image_px=48 "
        'captioner.instruction="Describe the image in one sentence." xe.learning_rate=0.01',
    )
    row = first_losses(run)
    assert (row["kl"], row["margin"]) == (0, 0)
    _, card = use(tmp_path, "qwen")
    assert "| captioner_origin | trained from " in card
    model = run / "models" / "dico"
    assert {"chat_template.jinja", "policy.json", "model.safetensors"} <= {
        path.name for path in model.iterdir()
    }
