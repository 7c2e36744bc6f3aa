"""``dico caption`` with a small registered model: same captions as the library, and quickly."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from dico.captioning import caption_features
from dico.decoding import DecodingConfig
from dico.models.captioner import Captioner, CaptionerConfig
from dico.models.clip import ClipConfig, ClipModel, TextConfig, VisionConfig
from dico.models.evaluator import Evaluator, EvaluatorConfig, save_evaluator
from dico.models.tokenizer import Tokenizer
from dico.registry import open_registry
from dico.storage import write_digests


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a registry that holds one champion, and two pictures."""
    folder = tmp_path_factory.mktemp("world")
    torch.manual_seed(0)
    tokenizer = Tokenizer.train(["a red circle", "a blue square on a green ground"], 320)
    clip = ClipConfig(
        embed_dim=16,
        vision_cfg=VisionConfig(image_size=32, layers=2, width=32, head_width=16, patch_size=8),
        text_cfg=TextConfig(24, tokenizer.vocab_size - 1, 32, 2, 2),
    )
    weights = [ClipModel(clip).state_dict() for _ in range(2)]
    save_evaluator(folder / "model" / "evaluator", EvaluatorConfig(clip=clip), tokenizer, *weights)
    write_digests(folder / "model" / "evaluator")
    config = CaptionerConfig(
        feature_width=32,
        vocab_size=tokenizer.vocab_size,
        width=32,
        num_encoder_layers=1,
        num_decoder_layers=1,
        num_heads=2,
        ffn_width=64,
    )
    Captioner(config, tokenizer).save(folder / "model" / "captioner")
    (folder / "model" / "captioner" / "training.json").write_text('{"tower": "clip"}')
    write_digests(folder / "model" / "captioner")
    registry = open_registry(folder / "registry")
    registry.register("toy", folder / "model", {}, identity="one")
    registry.set_alias("toy", "champion", 1, "first")
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def dico_caption(world, *arguments, flags=()):
    command = [sys.executable, *flags, "-m", "dico", "caption", *arguments]
    return subprocess.run(
        [*command, "--registry", str(world / "registry")], capture_output=True, text=True
    )


def test_captions_are_those_of_the_library(world):
    done = dico_caption(world, str(world / "0.png"), str(world / "1.png"))
    assert done.returncode == 0, done.stderr[-500:]
    tower = Evaluator.load(world / "model" / "evaluator", weights="clip")
    captioner = Captioner.load(world / "model" / "captioner")
    expected = []
    for i in range(2):
        pixels = tower.preprocess(Image.open(world / f"{i}.png"))[None]
        features, _ = tower.image_tokens(pixels)
        (caption,) = caption_features(captioner, features, DecodingConfig())
        expected.append(f"{world / f'{i}.png'}\t{caption.text}")
    assert done.stdout.splitlines() == expected
    assert expected[0].split("\t")[1] != ""


def test_several_captions_of_one_picture(world):
    done = dico_caption(world, str(world / "0.png"), "--num-captions", "3")
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert len(set(lines)) == 3


def test_captioning_loads_no_trainer(world):
    done = dico_caption(world, str(world / "0.png"), flags=("-X", "importtime"))
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "torch" in loaded
    heavy = {"open_clip", "transformers", "torchvision", "kfp", "great_expectations", "boto3"}
    assert not loaded & (heavy | {"sympy", "torch._dynamo"})


def test_captioning_takes_under_three_seconds_of_work(world):
    """CPU seconds, which other work on the machine does not change."""
    before = os.times()
    dico_caption(world, str(world / "0.png"))
    after = os.times()
    spent = after.children_user + after.children_system
    spent -= before.children_user + before.children_system
    assert spent < 3.0


def test_what_is_no_picture_is_bad_data(world, tmp_path):
    (tmp_path / "notes.jpg").write_text("not a picture")
    done = dico_caption(world, str(tmp_path / "notes.jpg"))
    assert done.returncode == 65
    assert "notes.jpg" in done.stderr.splitlines()[-1]
    assert done.stdout == ""
