"""A package of another's, installed by pip: each kind of plug-in works by its name."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dico.cli import main as dico
from dico.errors import ConfigError, DataError
from dico.evaluation.evaluate import Evaluation
from dico.losses import ScoredCandidates
from dico.plugins import KINDS, plugins_digest
from dico.policy import load_policy
from dico.presets.config import resolve
from dico.presets.plugins import check_plugins
from dico.registry import open_registry
from dico.rewards import RewardBatch, RewardContext, build_reward
from dico.tracking import rows_made
from dico.tracking.trackers import tracked
from dico.training.configs import FinetuneConfig
from dico.training.objectives import build_objective
from tests.training import tiny

EXAMPLE = Path(__file__).parent / "example"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that pip installed the package into."""
    sources, target = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("site")
    for path in EXAMPLE.iterdir():
        if path.is_file():
            (sources / path.name).write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*command, "--target", target, "."], cwd=sources, check=True, capture_output=True
    )
    return target


@pytest.fixture
def here(installed, monkeypatch):
    """The package is installed for this process too."""
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.delitem(sys.modules, "dico_example", raising=False)


def test_rewards_look_at_texts_and_images(here):
    batch = RewardBatch(
        torch.zeros(2, 2, 3, dtype=torch.long),
        lambda ids: ["a bright dog", "a dog", "a dark cat", "a bright cat here"],
        lambda weights: None,
        images=lambda: [Image.new("RGB", (8, 8), "white"), Image.new("RGB", (8, 8), "black")],
    )
    reward = build_reward("2*brightness + 0.5*brevity", RewardContext(None, None))
    assert reward(batch).tolist() == [[0.5, -1.0], [-1.5, -2.0]]


def test_a_callback_is_a_tracker_by_its_name(here, tmp_path, monkeypatch):
    monkeypatch.setenv("DICO_TRACK", f"lines:{tmp_path}/lines.jsonl")
    with tracked("xe", {}):
        rows_made([{"step": 1, "loss": 0.5}])
        rows_made([{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}])
    lines = (tmp_path / "lines.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 0.25},
    ]


def test_without_the_package_the_names_are_unknown():
    with pytest.raises(ConfigError, match="unknown reward 'brightness'"):
        build_reward("brightness", RewardContext(None, None))


SMALL = (
    'captioner.architecture=gru captioner.options=["width=16"] finetune.method=ipo '
    'finetune.reward=pac+0.01*brevity evaluation.judges=["wording","lightness"] '
    "decoding.num_beams=3 decoding.max_tokens=8 xe.num_steps=4 xe.batch_size=4 "
    "xe.micro_batch_size=4 xe.captions_per_image=1 xe.num_validation_images=2 "
    "finetune.num_steps=2 finetune.batch_size=2 finetune.micro_batch_size=2 "
    "finetune.num_validation_images=2 features.tower=pac evaluation.meteor=false "
    "evaluation.num_resamples=20 gate.min_images=2"
)


def dico_verb(*arguments):
    with pytest.raises(SystemExit) as end:
        dico([str(argument) for argument in arguments])
    assert not end.value.code


def test_its_captioner_is_trained_by_its_loss_and_judged_by_its_judges(here, tmp_path, capsys):
    """Until it is registered, and captions an image from there."""
    world = tiny.make_world(tmp_path / "world")
    settings = ["--preset", "toy", "--overrides", SMALL]
    data = ["--manifest", world / "manifest.parquet", "--features", world / "features"]
    store = ["--store", tmp_path / "store"]
    xe, tuned = tmp_path / "xe", tmp_path / "tuned"
    judged = ["--evaluator", world / "evaluator"]
    dico_verb("train", "xe", *data, "--output", xe, *settings, *store)
    start = ["--captioner", xe]
    dico_verb("train", "dico", *data, *start, *judged, "--output", tuned, *settings, *store)
    for folder in (xe, tuned):
        assert json.loads((folder / "architecture.json").read_text())["architecture"] == "gru"
    rows = [json.loads(line) for line in (tuned / "history.jsonl").read_text().splitlines()]
    first = next(row for row in rows if "loss" in row)
    margin = 1 / (2 * resolve("toy", SMALL).finetune.beta)
    assert first["loss"] == pytest.approx(margin**2)  # the policy is its own reference: IPO's start
    assert first["kl"] == 0
    place = ["--registry", tmp_path / "registry"]
    made = ["--captioner", tuned, "--baseline", xe, *judged]
    dico_verb("models", "add", "mine", *made, *data, *settings, *place)
    opened = open_registry(str(tmp_path / "registry"))
    version = opened.versions("mine")[-1]
    folder = opened.fetch(version, tmp_path / "fetched")
    scores = Evaluation.load(folder / "evaluation")
    assert scores.settings["method"] == "ipo"
    told = {record.image_id: record.captions for record in tiny.records(world, "test")}
    rows = zip(*(scores.per_image[name] for name in ("image_id", "caption")), strict=True)
    expected = [share(caption, told[image_id]) for image_id, caption in rows]
    np.testing.assert_allclose(scores.per_image["judge_wording"], expected)
    assert 0 < scores.systems["dico"]["judge_lightness"] < 1
    assert scores.differences["dico - xe"]["judge_wording"]["p_value"] <= 1
    assert "| Judge wording |" in (folder / "model_card.md").read_text()
    capsys.readouterr()
    dico_verb("caption", tiny.records(world, "test")[0].uri, "--model", "@1", *place)
    assert capsys.readouterr().out.strip()


def share(caption, references):
    words, known = caption.split(), {word for text in references for word in text.split()}
    return len([word for word in words if word in known]) / max(1, len(words))


def test_its_loss_is_given_what_it_says(here):
    logps = torch.tensor([[-1.0, -2.0, -4.0]], requires_grad=True)
    scored = ScoredCandidates(
        logps,
        torch.tensor([[-1.5, -2.0, -3.0]]),
        torch.tensor([[0.1, 0.9, 0.5]]),
        torch.tensor([[3, 4, 5]]),
        lambda: torch.zeros(1, 1),
    )
    loss, metrics = build_objective(FinetuneConfig(method="ipo", beta=0.5))(scored)
    assert loss.item() == pytest.approx((0.0 - 0.5 - 1.0) ** 2)  # best: second, worst: first
    loss.backward()
    assert logps.grad.tolist() == [[pytest.approx(3.0), pytest.approx(-3.0), 0.0]]
    assert metrics["reward"].item() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("finetune.method=ipoo", r"finetune\.method: unknown loss 'ipoo' \(did you mean ipo\?\); "
         "known are dico, scst, ipo"),
        ("captioner.architecture=grru", "captioner.architecture: unknown captioner 'grru'.*gru"),
        ('evaluation.judges=["wordings"]', "evaluation.judges: unknown judge 'wordings'.*wording"),
        ("finetune.reward=pac+brevety", "finetune.reward: unknown reward 'brevety'.*brevity"),
    ],
)  # fmt: skip
def test_a_misspelt_name_is_refused_with_those_that_are_known(here, overrides, message):
    with pytest.raises(ConfigError, match=message):
        check_plugins(resolve("toy", overrides))


def test_one_of_each_kind_is_offered_and_its_code_counts(here, installed):
    assert all(kind.offered() for kind in KINDS)
    plugins_digest.cache_clear()
    before = plugins_digest()
    source = installed / "dico_example.py"
    text = source.read_text()
    source.write_text(f"{text}\n# edited\n")
    plugins_digest.cache_clear()
    assert plugins_digest() != before
    source.write_text(text)
    plugins_digest.cache_clear()
    assert plugins_digest() == before


def test_a_captioner_whose_package_is_gone_is_named(here, tmp_path):
    from dico.storage import write_digests

    (tmp_path / "architecture.json").write_text('{"format": 1, "architecture": "lstm"}')
    write_digests(tmp_path)
    with pytest.raises(DataError, match=r"unknown captioner 'lstm'.*install the package"):
        load_policy(tmp_path)
