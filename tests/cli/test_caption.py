"""``dico caption`` with a small registered model: same captions as the library, and quickly."""

import os
import subprocess
import sys

import pytest
from PIL import Image

from dico.decoding import DecodingConfig, beam_search, diverse_beam_search
from dico.models.captioner import Captioner
from dico.models.evaluator import Evaluator
from dico.policy.captioning import caption_features
from dico.registry import open_registry
from tests.serving.tiny import image, make_version


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a registry that holds one champion, and two images."""
    folder = tmp_path_factory.mktemp("world")
    make_version(folder / "model")
    registry = open_registry(folder / "registry")
    registry.register("toy", folder / "model", {}, identity="one")
    registry.set_alias("toy", "champion", 1, "first")
    for i in range(2):
        (folder / f"{i}.png").write_bytes(image(i))
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
        (caption,) = caption_features(captioner, features, DecodingConfig(max_tokens=8))
        expected.append(f"{world / f'{i}.png'}\t{caption.text}")
    assert done.stdout.splitlines() == expected
    assert expected[0].split("\t")[1] != ""


def test_several_captions_of_one_image(world):
    done = dico_caption(world, str(world / "0.png"), "--num-captions", "3")
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert len(set(lines)) == 3


def test_a_versions_own_groups_of_beams_unless_others_are_asked_for(tmp_path):
    own = {"num_beams": 6, "num_groups": 3, "diversity_penalty": 2.0}
    make_version(tmp_path / "model", **own)
    registry = open_registry(tmp_path / "registry")
    registry.register("toy", tmp_path / "model", {}, identity="one")
    registry.set_alias("toy", "champion", 1, "first")
    file = tmp_path / "0.png"
    file.write_bytes(image(0))
    tower = Evaluator.load(tmp_path / "model" / "evaluator", weights="clip")
    captioner = Captioner.load(tmp_path / "model" / "captioner")
    memory = captioner.encode(tower.image_tokens(tower.preprocess(Image.open(file))[None])[0])
    in_groups = DecodingConfig(max_tokens=8, **own)
    plain = DecodingConfig(max_tokens=8, num_beams=1)
    for options, search, config in (
        (("--num-captions", "6"), diverse_beam_search, in_groups),
        (("--num-beams", "1"), beam_search, plain),
    ):
        found = search(captioner, memory, config)
        texts = captioner.tokenizer.decode_batch(found.tokens[0])
        lines = dico_caption(tmp_path, str(file), *options).stdout.splitlines()
        assert [line.split("\t")[-1] for line in lines] == texts
    refused = dico_caption(tmp_path, str(file), "--num-captions", "7")
    assert refused.returncode == 2
    assert "at most the number of beams, 6, got 7" in refused.stderr.splitlines()[-1]


def test_captioning_loads_no_trainer(world):
    done = dico_caption(world, str(world / "0.png"), flags=("-X", "importtime"))
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "torch" in loaded
    heavy = {"open_clip", "transformers", "torchvision", "kfp", "great_expectations", "boto3"}
    assert not loaded & (heavy | {"sympy", "torch._dynamo"})


def test_captioning_takes_little_more_work_than_to_import_torch(world):
    """CPU seconds of both by turns: how fast the machine is does not matter."""

    def work(run):
        before = os.times()
        run()
        after = os.times()
        spent = after.children_user + after.children_system
        return spent - before.children_user - before.children_system

    torch = work(lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True))
    assert work(lambda: dico_caption(world, str(world / "0.png"))) < 2 * torch


def test_what_is_no_image_is_bad_data(world, tmp_path):
    (tmp_path / "notes.jpg").write_text("not an image")
    done = dico_caption(world, str(tmp_path / "notes.jpg"))
    assert done.returncode == 65
    assert "notes.jpg" in done.stderr.splitlines()[-1]
    assert done.stdout == ""
