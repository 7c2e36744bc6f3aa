"""A GPU computes what the CPU does; and features that were made there leave as arrays."""

import pytest
import torch

from dico.evaluation.config import EvaluationConfig
from dico.evaluation.evaluate import evaluate
from dico.features.config import FeaturesConfig
from dico.features.extract import Towers, extract, feature_spec
from dico.features.store import FeatureStore, FeatureWriter
from dico.models.evaluator import Evaluator
from dico.policy import load_policy
from dico.policy.captioning import caption_images, caption_stored
from dico.training.configs import EvaluatorTrainingConfig
from dico.training.evaluator import train_evaluator
from tests.training import tiny

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible to torch")
FEATURES = FeaturesConfig(dtype="float32", batch_size=4)
CLOSE = {"rtol": 1e-3, "atol": 1e-3}
SMALL = EvaluatorTrainingConfig(
    num_clip_steps=2, num_pac_steps=2, batch_size=8, vocab_size=300, image_size_px=32,
    vision_layers=(1,), vision_width=16, head_width=8, patch_size_px=16, embed_dim=16,
    text_width=16, text_layers=1, validate_every_steps=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tiny.make_world(tmp_path_factory.mktemp("tiny"))
    tiny.captioner(folder, sharp=4.0).save(folder / "captioner")
    return folder


def extracted(world, folder, device):
    """Arrays of all test images, by a tower on ``device``."""
    towers = Towers.load(str(world / "evaluator"), FEATURES, device)
    assert towers.tower.device.type == towers.pac.device.type == device
    with FeatureWriter.open(str(folder), feature_spec(towers, FEATURES)) as writer:
        extract(tiny.records(world, "test"), towers, writer, FEATURES)
        writer.close()
    return FeatureStore.open(str(folder))


def scored(world, captions, device):
    """Metrics of captions of the test images, by evaluators on ``device``."""
    records = tiny.records(world, "test")
    stored = tiny.features(world)
    kinds = ("clip", "pac")
    images = {
        kind: {r.image_id: stored.read([r.sha256], f"{kind}_embedding")[0] for r in records}
        for kind in kinds
    }
    return evaluate(
        {"dico": {r.image_id: text for r, text in zip(records, captions, strict=True)}},
        {r.image_id: r.captions for r in records},
        image_embeddings=images,
        evaluators={k: Evaluator.load(world / "evaluator", k, device) for k in kinds},
        config=EvaluationConfig(meteor=False, num_resamples=0),
    ).systems["dico"]


@NEEDS_GPU
def test_features_of_a_gpu_are_those_of_the_cpu(world, tmp_path):
    keys = [record.sha256 for record in tiny.records(world, "test")]
    here, there = (extracted(world, tmp_path / name, name) for name in ("cpu", "cuda"))
    for name in ("tokens", "clip_embedding", "pac_embedding"):
        expected = torch.from_numpy(here.read(keys, name))
        torch.testing.assert_close(torch.from_numpy(there.read(keys, name)), expected, **CLOSE)


@NEEDS_GPU
def test_captions_of_a_gpu_are_those_of_the_cpu(world):
    records = tiny.records(world, "test")
    keys, uris = [r.sha256 for r in records], [r.uri for r in records]
    found = []
    for device in ("cpu", "cuda"):
        policy = load_policy(world / "captioner", device)
        tower = Evaluator.load(world / "evaluator", "clip", device)
        found.append(list(caption_stored(policy, tiny.features(world), keys, tiny.SEARCH)))
        found.append(list(caption_images(policy, tower, uris, tiny.SEARCH)))
    for other in found[1:]:
        assert [caption.text for caption in other] == [caption.text for caption in found[0]]
        expected = [caption.logp for caption in found[0]]
        assert [caption.logp for caption in other] == pytest.approx(expected, abs=1e-3)


@NEEDS_GPU
def test_scores_of_a_gpu_are_those_of_the_cpu(world):
    captions = [record.captions[-1] for record in tiny.records(world, "test")]
    expected = scored(world, captions, "cpu")
    assert scored(world, captions, "cuda") == pytest.approx(expected, abs=1e-3)


@NEEDS_GPU
def test_an_evaluator_is_trained_on_a_gpu_as_on_the_cpu(world, tmp_path):
    splits = tiny.records(world, "train"), tiny.records(world, "validation")
    here, there = (
        train_evaluator(*splits, SMALL, 1, tiny.checkpoints(tmp_path / name), torch.device(name))
        for name in ("cpu", "cuda")
    )
    losses = [[row["loss"] for row in made.history if "loss" in row] for made in (here, there)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-3)
    assert there.pac_weights["logit_scale"].device.type == "cuda"
