"""An evaluator's folder from published weights: which weights, which pixels, which activation."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from dico.errors import ConfigError
from dico.images.preprocessing import ClipPixels
from dico.models.clip import ClipModel
from dico.models.clip_config import ClipConfig
from dico.models.evaluator import Evaluator
from dico.storage import sha256_file
from dico.weights.clip import open_clip_pixels
from dico.weights.prepare import ClipSource, prepare_evaluator
from tests.models.clips import CLIP_DATA, RESNET_DATA, assert_features_alike, rival_clip
from tests.weights.command import main


def test_an_evaluator_is_made_of_three_files(tmp_path):
    sources = {}
    for seed, (name, width) in enumerate([("clip", 64), ("pac", 64), ("tower", 128)]):
        torch.manual_seed(seed)
        vision = CLIP_DATA["vision_cfg"] | {"width": width}
        data = CLIP_DATA | {"vision_cfg": vision}
        torch.save(ClipModel(ClipConfig.from_dict(data)).state_dict(), tmp_path / f"{name}.pt")
        sources[name] = ClipSource(str(tmp_path / f"{name}.pt"))
    folder = tmp_path / "evaluator"
    prepare_evaluator(folder, sources["clip"], sources["pac"], sources["tower"])
    loaded = {name: Evaluator.load(folder, name) for name in sources}
    assert loaded["pac"].tokenizer.vocab_size == 49409
    widths = {name: e.config.clip.vision_cfg.width for name, e in loaded.items()}
    assert widths == {"clip": 64, "pac": 64, "tower": 128}
    assert len({evaluator.digest for evaluator in loaded.values()}) == 3
    prepare_evaluator(tmp_path / "two", sources["clip"], sources["pac"])
    assert Evaluator.load(tmp_path / "two", "tower").config.clip.vision_cfg.width == 64
    with pytest.raises(ConfigError, match="one architecture"):
        prepare_evaluator(folder, sources["clip"], sources["tower"])
    with pytest.raises(ConfigError, match="no file"):
        ClipSource("nowhere.pt").read()


def test_a_resnet_is_a_tower_of_an_evaluator(tmp_path, publish):
    theirs = rival_clip(RESNET_DATA)
    publish("dico-test-resnet", RESNET_DATA, theirs)
    torch.save(rival_clip().state_dict(), tmp_path / "clip.pt")
    base = ClipSource(str(tmp_path / "clip.pt"))
    prepare_evaluator(tmp_path / "folder", base, base, ClipSource("dico-test-resnet:own"))
    tower = Evaluator.load(tmp_path / "folder", "tower")
    assert_features_alike(tower.model, theirs)
    pixels = torch.randn(2, 3, 32, 32)
    tokens, embeddings = tower.image_tokens(pixels)
    assert tokens.shape == (2, 1, 512)
    torch.testing.assert_close(embeddings, theirs.encode_image(pixels, normalize=True))


HALVES = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)}
OPENAI = {
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}


@pytest.mark.parametrize(
    ("name", "tag", "pixels"),
    [
        ("ViT-B-32", "openai", OPENAI),
        ("RN50", "openai", OPENAI),
        ("ViT-B-32", "laion2b_s34b_b79k", OPENAI),
        ("ViT-L-14", "laion2b_s32b_b82k", HALVES),
    ],
)
def test_pixels_are_those_that_a_tag_was_trained_on(name, tag, pixels):
    assert open_clip_pixels(name, tag) == ClipPixels(**pixels, interpolation="bicubic")


def test_tags_that_squash_images_are_squashed():
    assert open_clip_pixels("ViT-H-14", "dfn5b").resize == "squash"


@pytest.fixture
def prepare(tmp_path):
    return lambda arguments: main(["evaluator", *arguments, "--store", tmp_path / "store"])


def test_each_set_of_weights_sees_its_own_pixels(tmp_path, publish, prepare):
    publish("dico-test-tiny", CLIP_DATA, rival_clip(), mean=(0.5,) * 3, std=(0.5,) * 3)
    path = tmp_path / "weights.pt"
    torch.save(rival_clip().state_dict(), path)
    other = {"image_mean": (0.1, 0.2, 0.3), "image_std": (0.4, 0.5, 0.6)}
    own = ["--pac-mean", 0.1, 0.2, 0.3, "--pac-std", 0.4, 0.5, 0.6]
    runs = {
        "files": (["--clip", path, "--pac", path], OPENAI, OPENAI, OPENAI),
        "tower": (["--clip", path, "--pac", path, "--tower", "dico-test-tiny:own"], OPENAI, OPENAI, HALVES),
        "base": (["--clip", "dico-test-tiny:own", "--pac", path, "--tower", path], HALVES, HALVES, OPENAI),
        "pac": (["--clip", "dico-test-tiny:own", "--pac", path, *own], HALVES, other, HALVES),
    }  # fmt: skip
    image = Image.effect_noise((50, 40), 90).convert("RGB")
    for name, (arguments, *expected) in runs.items():
        assert prepare([tmp_path / name, *arguments]) == 0
        for weights, pixels in zip(("clip", "pac", "tower"), expected, strict=True):
            evaluator = Evaluator.load(tmp_path / name, weights)
            config, pixels = evaluator.config, ClipPixels(**pixels)
            found = ClipPixels(config.image_mean, config.image_std, config.interpolation)
            assert found == pixels, (name, weights)
            square = torch.from_numpy(np.array(config.frame.cut(image))).permute(2, 0, 1) / 255
            mean, std = (
                torch.tensor(v)[:, None, None] for v in (pixels.image_mean, pixels.image_std)
            )
            torch.testing.assert_close(evaluator.preprocess(image), (square - mean) / std)
    written = json.loads((tmp_path / "files" / "config.json").read_text())
    assert written.keys().isdisjoint({"pac_pixels", "tower_pixels", "tower"})


def test_options_of_files_reach_the_file_they_name(tmp_path, capsys, prepare):
    plain, quick = tmp_path / "plain.pt", tmp_path / "quick.pt"
    torch.save(rival_clip(CLIP_DATA | {"quick_gelu": False}).state_dict(), plain)
    torch.save(rival_clip(RESNET_DATA).state_dict(), quick)
    files = [tmp_path / "out", "--clip", plain, "--pac", plain, "--tower", quick]
    assert prepare([*files, "--pac-gelu", "--clip-gelu"]) == 0
    found = [Evaluator.load(tmp_path / "out", w).config.clip for w in ("clip", "pac", "tower")]
    assert [config.quick_gelu for config in found] == [False, False, True]
    assert prepare([*files, "--tower-gelu", "--tower-interpolation", "bilinear"]) == 0
    tower = Evaluator.load(tmp_path / "out", "tower").config
    assert (tower.clip.quick_gelu, tower.interpolation) == (False, "bilinear")
    for kind, path in (("clip", plain), ("pac", plain), ("tower", quick)):
        assert prepare([*files, f"--{kind}-sha256", "0" * 64]) == 65
        assert f"{path}: SHA-256" in capsys.readouterr().err
        assert prepare([*files, f"--{kind}-sha256", sha256_file(path)]) == 0
    assert prepare([*files, "--clip-gelu"]) == 0  # and PAC weights are what the base is
    found = [Evaluator.load(tmp_path / "out", w).config.clip for w in ("clip", "pac", "tower")]
    assert [config.quick_gelu for config in found] == [False, False, True]
    named = [tmp_path / "out", "--clip", "ViT-B-32:openai", "--pac", plain]
    for option in (["--clip-gelu"], ["--clip-sha256", "0" * 64]):
        assert prepare([*named, *option]) == 2
        assert "itself" in capsys.readouterr().err
