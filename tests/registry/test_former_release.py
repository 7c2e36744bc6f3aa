"""A version that release 0.1.0 registered, in the files that release wrote, serves as champion."""

import json
from pathlib import Path

import pytest
from PIL import Image

from dico.models.captioner import Captioner
from dico.policy.captioning import caption_images
from dico.registry import open_registry
from dico.registry.bundle import load_version

HERE = Path(__file__).parent / "release_0_1_0"
COLOURS = (
    (200, 30, 30),
    (30, 200, 30),
    (30, 30, 200),
    (220, 220, 220),
    (0, 120, 120),
    (90, 40, 160),
)


@pytest.fixture
def version(tmp_path):
    registry = open_registry(HERE / "registry")
    return registry.fetch(registry.champion("toy"), tmp_path / "cache")


def images(folder):
    """Squares of two colours, of the tower's own size, so that nothing is resized."""
    for number, colour in enumerate(COLOURS):
        image = Image.new("RGB", (16, 16), colour)
        image.paste(COLOURS[number - 2], (2, 2 + number, 9, 9 + number))
        image.save(folder / f"{number}.png")
        yield str(folder / f"{number}.png")


def test_its_captions_are_those_of_its_own_release(version, tmp_path):
    policy, tower, decoding = load_version(version)
    found = list(caption_images(policy, tower, list(images(tmp_path)), decoding))
    lines = (HERE / "captions.jsonl").read_text(encoding="utf-8").splitlines()
    wanted = [json.loads(line) for line in lines]
    assert [caption.text for caption in found] == [line["caption"] for line in wanted]
    assert [caption.logp for caption in found] == pytest.approx(
        [line["logp"] for line in wanted], abs=1e-3
    )


def test_saved_again_it_has_the_names_of_this_release(version, tmp_path):
    old = Captioner.load(version / "captioner")
    old.save(tmp_path / "again")
    again = Captioner.load(tmp_path / "again").state_dict()
    assert "decoder.token_embedding.weight" in again
    assert all(bool((again[name] == value).all()) for name, value in old.state_dict().items())
