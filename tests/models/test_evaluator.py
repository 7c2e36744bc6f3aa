"""The evaluator's folder, and its preprocessing against torchvision's."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from dico.errors import DataError, DigestError
from dico.models.evaluator import Evaluator, EvaluatorConfig, preprocess
from dico.models.tokenizer import Tokenizer
from dico.models.torchvision_compat import ensure_torchvision_imports
from tests.builders import clip_config, write_evaluator

TOKENIZER = Tokenizer.train(["a red circle", "a blue square on a green ground"], 320)
CLIP = clip_config(TOKENIZER, num_layers=2, num_text_layers=2)
CONFIG = EvaluatorConfig(clip=CLIP)


def image(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def folder(tmp_path):
    write_evaluator(tmp_path, TOKENIZER, CLIP)
    return tmp_path


@pytest.mark.parametrize("size", [(50, 41), (41, 50), (32, 32), (300, 33), (640, 427), (20, 31)])
def test_pixels_equal_torchvisions(size):
    ensure_torchvision_imports()
    from torchvision import transforms

    config = EvaluatorConfig()
    theirs = transforms.Compose(
        [
            transforms.Resize(224, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(config.image_mean, config.image_std),
        ]
    )
    ours = preprocess(image(*size), config)
    assert ours.shape == (3, 224, 224)
    torch.testing.assert_close(ours, theirs(image(*size)), atol=1e-6, rtol=1e-6)


def test_both_weights_are_loaded_by_name(folder):
    pac, clip = Evaluator.load(folder), Evaluator.load(folder, "clip")
    pixels = pac.preprocess(image(50, 40))[None]
    assert not torch.allclose(pac.embed_images(pixels), clip.embed_images(pixels), atol=1e-3)
    assert pac.digest != clip.digest
    assert pac.digest == Evaluator.load(folder).digest
    tokens, embeddings = clip.image_tokens(pixels)
    assert tokens.shape == (1, 17, 32)
    torch.testing.assert_close(embeddings, clip.embed_images(pixels))


def test_texts_and_their_ids_embed_alike(folder):
    evaluator = Evaluator.load(folder)
    texts = ["a red circle", "a blue square on a green ground", ""]
    tokens = TOKENIZER.encode_batch(texts, 24)
    embeddings = evaluator.embed_texts(texts)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(evaluator.embed_tokens(tokens[None])[0], embeddings)
    prompted = evaluator.embed_texts(["red circle"], prompt="a ")
    torch.testing.assert_close(prompted, embeddings[:1])


def test_nothing_of_an_evaluator_trains(folder):
    assert not any(p.requires_grad for p in Evaluator.load(folder).model.parameters())


def test_a_config_from_before_own_pixels_means_what_it_meant():
    """One mean and deviation for every set of weights."""
    text = """{"format": 1, "w": 2.0, "prompt": "", "interpolation": "bilinear",
        "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6],
        "clip": {"embed_dim": 16}, "tower": {"embed_dim": 24}}"""
    config = EvaluatorConfig.from_json(text, "config.json")
    for weights, width in (("clip", 16), ("pac", 16), ("tower", 24)):
        own = config.of(weights)
        assert own.clip.embed_dim == width
        assert (own.image_mean, own.image_std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
        assert own.interpolation == "bilinear"
    assert EvaluatorConfig.from_json(config.to_json(), "") == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_mean": [0.5]}, "image_mean: must be three numbers"),
        ({"image_std": [0.5, 0.5, 0.0]}, "image_std: must be positive"),
        ({"interpolation": "nearest"}, "interpolation: one of"),
        ({"tower_pixels": {"image_std": [0.5]}}, r"tower_pixels.*three numbers"),
        ({"pac_pixels": {"mean": [0.5]}}, r"pac_pixels\.mean: unknown setting"),
    ],
)
def test_pixels_out_of_range_are_refused_by_name(change, message):
    data = json.loads(CONFIG.to_json()) | change
    with pytest.raises(DataError, match=rf"^config\.json: .*{message}"):
        EvaluatorConfig.from_json(json.dumps(data), "config.json")


def test_broken_folders_are_named(folder):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        Evaluator.load(folder / "nowhere")
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=r"digests\.json: missing"):
        Evaluator.load(folder / "empty")
    (folder / "pac.safetensors").write_bytes(b"x")
    with pytest.raises(DigestError, match=r"pac\.safetensors"):
        Evaluator.load(folder)
    with pytest.raises(DataError, match="format"):
        EvaluatorConfig.from_json('{"format": 9}', "config.json")
    with pytest.raises(DataError, match=r"config\.json"):
        EvaluatorConfig.from_json("[]", "config.json")
