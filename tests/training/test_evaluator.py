"""Training of evaluators: PAC's objective by default, and what the extensions add."""

import dataclasses
import math

import pytest
import torch

from dico.configuration.schema import to_json
from dico.data.manifest import read_manifest
from dico.models.evaluator import Evaluator
from dico.models.generative import FOLDER, GenerativeEvaluator, has_generative
from dico.models.judge import has_judge
from dico.steps.train_evaluator import train_evaluator as train_step
from dico.steps.train_judge import train_judge
from dico.storage import open_store
from dico.training.configs import EvaluatorTrainingConfig, JudgeConfig
from dico.training.evaluator import _Trainer, train_evaluator
from dico.training.halves import evaluators_part, judges_part
from dico.training.resilience.checkpoint import Checkpoints
from tests.training.tiny import make_world

SMALL = EvaluatorTrainingConfig(
    image_size_px=32,
    vision_layers=(1, 1),
    vision_width=8,
    text_width=16,
    text_layers=1,
    head_width=8,
    embed_dim=16,
    vocab_size=300,
    num_clip_steps=1,
    num_pac_steps=3,
    batch_size=8,
    learning_rate=1e-2,
)
JOINT = dataclasses.replace(SMALL, caption_weight=1.0, negative_weight=0.5)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    make_world(folder)
    return folder


def train(world, folder, config, seed=1):
    manifest = world / "manifest.parquet"
    checkpoints = Checkpoints(open_store(str(folder)), "run")
    records = (read_manifest(manifest, split) for split in ("train", "validation"))
    return train_evaluator(*records, config, seed, checkpoints)


def test_extensions_off_are_no_part_of_the_objective(world, tmp_path):
    plain = train(world, tmp_path / "a", SMALL)
    other = dataclasses.replace(SMALL, captions_per_image=3, blind_share=0.5, alpha=0.1)
    same = train(world, tmp_path / "b", other)
    assert plain.generative is None
    for name, value in plain.pac_weights.items():
        assert torch.equal(value, same.pac_weights[name]), name


def test_added_positives_stand_in_for_images(world, tmp_path):
    once = dataclasses.replace(SMALL, lambda_visual=0.0)
    plain = train(world, tmp_path / "a", once)
    swapped = train(world, tmp_path / "b", dataclasses.replace(once, swap_share=1.0))
    tower = "visual.stages.0.0.0.weight"
    assert not torch.equal(plain.pac_weights[tower], swapped.pac_weights[tower])


def test_hard_negatives_change_the_weights(world, tmp_path):
    plain = train(world, tmp_path / "a", SMALL)
    harder = train(world, tmp_path / "b", dataclasses.replace(SMALL, negative_weight=0.5))
    assert not torch.equal(
        plain.pac_weights["text_projection"], harder.pac_weights["text_projection"]
    )


def test_the_decoder_learns_and_its_loss_reaches_the_tower(world, tmp_path):
    longer = dataclasses.replace(JOINT, num_pac_steps=40, lambda_visual=0.0)
    trained = train(world, tmp_path, longer)
    losses = [row["loss"] for row in trained.history if "loss" in row]
    assert losses[-1] < losses[1] - 0.5
    assert trained.generative is not None
    assert trained.generative.blind_tokens.abs().sum() > 0
    assert set(trained.clip_weights) == set(trained.pac_weights)
    tower = "visual.stages.0.0.0.weight"
    assert not torch.equal(trained.clip_weights[tower], trained.pac_weights[tower])


def test_a_joint_run_that_was_stopped_goes_on_to_the_same_weights(world, tmp_path):
    half = dataclasses.replace(JOINT, num_pac_steps=2)
    train(world, tmp_path / "a", dataclasses.replace(half, checkpoint_every_steps=1))
    straight = train(world, tmp_path / "b", half)
    resumed = train(world, tmp_path / "a", dataclasses.replace(half, checkpoint_every_steps=1))
    assert straight.generative is not None
    assert resumed.generative is not None
    assert torch.equal(straight.generative.blind_tokens, resumed.generative.blind_tokens)
    for name, value in straight.pac_weights.items():
        assert torch.equal(value, resumed.pac_weights[name]), name


def test_the_steps_write_an_evaluator_and_a_judge_of_other_images(world, tmp_path):
    manifest = str(world / "manifest.parquet")
    shared = dataclasses.replace(JOINT, judge_share=0.5)
    judge = JudgeConfig(**{**vars(shared), "vision_width": 16}, enabled=True)
    store = str(tmp_path / "store")
    train_step(manifest, to_json(shared), 1, "", store, str(tmp_path / "evaluator"))
    train_judge(manifest, to_json(judge), 1, "", store, str(tmp_path / "judge"))
    one, two = (Evaluator.load(tmp_path / name) for name in ("evaluator", "judge"))
    assert has_generative(tmp_path / "evaluator")
    assert has_judge(tmp_path / "judge")
    assert one.config.clip.vision_cfg.width != two.config.clip.vision_cfg.width
    records = read_manifest(manifest, "train")
    theirs = {r.sha256 for r in judges_part(records, 0.5)}
    assert theirs
    assert not theirs & {r.sha256 for r in evaluators_part(records, 0.5)}
    generative = GenerativeEvaluator.load(tmp_path / "judge" / FOLDER)
    tokens = two.image_tokens(torch.zeros(2, 3, 32, 32))[0]
    ids = generative.tokenizer.encode_batch(["a red circle", "a blue ring"] * 2, 20).view(2, 2, -1)
    score = generative.score(tokens, ids)
    assert score.shape == (2, 2)
    assert all(math.isfinite(value) for value in score.flatten().tolist())


def test_no_judge_is_said_in_its_folder(world, tmp_path):
    manifest = str(world / "manifest.parquet")
    train_judge(manifest, to_json(JudgeConfig()), 1, "", "", str(tmp_path / "judge"))
    assert (tmp_path / "judge").is_dir()
    assert not has_judge(tmp_path / "judge")


def test_a_tower_that_learnt_words_stays_as_it_is(world, tmp_path):
    config = dataclasses.replace(JOINT, num_word_steps=3, word_batch_size=8, lambda_visual=0.0)
    trained = train(world, tmp_path, config)
    assert [row["step"] for row in trained.history if "loss" in row] == [*range(1, 8)]
    assert trained.clip_weights.keys() == trained.pac_weights.keys()
    for name, value in trained.pac_weights.items():
        locked = name.startswith("visual.stages")
        assert torch.equal(value, trained.clip_weights[name]) == locked, name


@pytest.mark.parametrize("step", [1, 4])
def test_stopped_among_words_or_behind_them_it_goes_on_to_the_same_weights(
    world, tmp_path, monkeypatch, step
):
    config = dataclasses.replace(JOINT, num_word_steps=3, word_batch_size=8, lambda_visual=0.0)
    config = dataclasses.replace(config, checkpoint_every_steps=1)
    straight = train(world, tmp_path / "a", config)
    update = _Trainer._update

    def dies(trainer, now):
        if now == step:
            raise InterruptedError
        update(trainer, now)

    with monkeypatch.context() as patch:
        patch.setattr(_Trainer, "_update", dies)
        with pytest.raises(InterruptedError):
            train(world, tmp_path / "b", config)
    resumed = train(world, tmp_path / "b", config)
    for name, value in straight.pac_weights.items():
        assert torch.equal(value, resumed.pac_weights[name]), name
