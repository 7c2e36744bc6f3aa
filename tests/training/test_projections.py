"""The maps between frozen towers: what they learn, and that the towers stay as they are."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from dico.data.manifest import Record
from dico.models.encoders import EncoderConfig, build_encoder
from dico.models.evaluator import Evaluator, EvaluatorConfig
from dico.storage import sha256_file
from dico.training.configs import EvaluatorTrainingConfig
from dico.training.projections import (
    Maps,
    Pooled,
    pooled,
    pooled_captions,
    recall_at_1,
    train_projections,
)

COLOURS = ("red", "green", "blue", "white", "black", "yellow")
SETTINGS = {
    "vision": {
        "architecture": "vit_tiny_patch16_224",
        "model_args": {
            "img_size": 32,
            "patch_size": 8,
            "embed_dim": 16,
            "depth": 1,
            "num_heads": 2,
        },
    },
    "text": {
        "model_type": "bert",
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "vocab_size": 30,
    },
    "embed_dim": 8,
}
TRAINING = EvaluatorTrainingConfig(
    num_clip_steps=60, batch_size=12, learning_rate=1e-2, projection_dropout=0.1
)


class Letters:
    """Reads a caption letter by letter."""

    def encode_batch(self, texts, max_tokens):
        rows = [torch.tensor([ord(c) % 26 + 2 for c in text[:max_tokens]]) for text in texts]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)


@pytest.fixture
def evaluator():
    torch.manual_seed(0)
    model = build_encoder("towers", SETTINGS)
    config = EncoderConfig("towers", SETTINGS, 32, 17, 16, 8, context_length=20)
    return Evaluator(EvaluatorConfig(clip=config, tuned=False), model, Letters())


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colours")
    rng, found = np.random.default_rng(0), []
    for i in range(24):
        name = COLOURS[i % 6]
        image = np.array(Image.new("RGB", (40, 32), name)).astype(int) + rng.integers(-20, 20, 3)
        path = folder / f"{i}.png"
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path)
        captions = (f"{name} wall", f"a wall of {name}")
        size = path.stat().st_size
        found.append(Record(str(i), str(path), sha256_file(path), size, 40, 32, captions, "train"))
    return found


def test_the_maps_learn_and_nothing_else_does(evaluator, records):
    before = {name: value.clone() for name, value in evaluator.model.state_dict().items()}
    seen = pooled(records, evaluator)
    held_out = seen.chosen(torch.arange(6))
    history = train_projections(seen, held_out, evaluator.model, TRAINING, seed=1)
    changed = {
        name.split(".")[0]
        for name, value in evaluator.model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"visual_projection", "text_projection", "logit_scale"}
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert history[-1]["validation_recall_at_1"] > 0.8


def test_one_seed_gives_one_evaluator(evaluator, records):
    start, runs = {k: v.clone() for k, v in evaluator.model.state_dict().items()}, []
    seen, none = pooled(records, evaluator), pooled([], evaluator)
    for seed in (3, 3, 4):
        evaluator.model.load_state_dict(start)
        runs.append(train_projections(seen, none, evaluator.model, TRAINING, seed))
    losses = [[row["loss"] for row in run] for run in runs]
    assert losses[0] == losses[1] != losses[2]


def test_written_maps_do_what_the_standardised_ones_did(evaluator, records):
    seen = pooled(records, evaluator)
    maps = Maps(evaluator.model, seen, dropout=0.5).eval()
    with torch.no_grad():
        images, texts = maps(seen.images, torch.cat(seen.texts))
        maps.write_into(evaluator.model)
    pixels = torch.stack([evaluator.preprocess(Image.open(record.uri)) for record in records])
    captions = [text for record in records for text in record.captions]
    assert torch.allclose(evaluator.embed_images(pixels), images, atol=1e-5)
    assert torch.allclose(evaluator.embed_texts(captions), texts, atol=1e-5)


def test_captions_of_one_pass_do_not_touch_each_other(evaluator):
    captions = ["a", "a long caption of many", "bb", "word"]
    together = pooled_captions(captions, evaluator)
    alone = torch.cat([pooled_captions([caption], evaluator) for caption in captions])
    assert torch.allclose(together, alone, atol=1e-6)


def test_recall_counts_each_caption_among_all_images(evaluator):
    identity = torch.eye(3)
    model = torch.nn.Module()
    model.visual_projection = model.text_projection = torch.nn.Identity()
    texts = (identity[[0, 0]], identity[[2]], identity[[2, 1, 2]])
    assert recall_at_1(model, Pooled(identity, texts)) == pytest.approx(4 / 6)
    assert torch.equal(F.normalize(identity, dim=-1), identity)
