"""The generative evaluator: its score by hand, its blind prior, its files."""

import json

import pytest
import torch

from dico.errors import ConfigError, DataError, DigestError
from dico.models.generative import BLIND_FILE, GenerativeEvaluator
from dico.rewards import RewardBatch, RewardContext, build_reward
from tests.builders import generative_evaluator

CAPTIONS = ["a red circle", "a blue square above a ring", "a ring", "a red circle on a box"]


@pytest.fixture
def evaluator():
    return generative_evaluator(CAPTIONS)


def naive(evaluator, image, caption):
    """Log-probability of one caption, token by token."""
    tokenizer, captioner = evaluator.tokenizer, evaluator.captioner
    ids = [tokenizer.bos_id, *tokenizer.encode(caption), tokenizer.eos_id]
    memory, total = captioner.encode(image[None]), 0.0
    for t in range(1, len(ids)):
        logits = captioner.logits(memory, torch.tensor([ids[:t]]))[0, -1]
        total += logits.log_softmax(-1)[ids[t]].item()
    return total


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_score_is_the_likelihood_less_a_share_of_the_blind_one(evaluator, alpha):
    images = torch.randn(2, 4, 6)
    tokens = evaluator.tokenizer.encode_batch(CAPTIONS, 16).view(2, 2, -1)
    scores = evaluator.score(images, tokens, alpha)
    for b in range(2):
        for k in range(2):
            caption = CAPTIONS[2 * b + k]
            seen = naive(evaluator, images[b], caption)
            blind = naive(evaluator, evaluator.blind_tokens, caption)
            assert scores[b, k].item() == pytest.approx(seen - alpha * blind, abs=1e-4)


def test_the_blind_prior_sees_no_image(evaluator):
    tokens = evaluator.tokenizer.encode_batch(CAPTIONS[:1] * 2, 16).view(2, 1, -1)
    one, two = evaluator.blind(tokens)[:, 0].tolist()
    assert one == two
    one, two = evaluator.likelihood(torch.randn(2, 4, 6), tokens)[:, 0].tolist()
    assert one != two


def test_as_a_reward_it_scores_the_stored_tokens(evaluator):
    images = torch.randn(2, 4, 6)
    tokens = evaluator.tokenizer.encode_batch(CAPTIONS, 16).view(2, 2, -1)
    context = RewardContext(no_dual_encoder, evaluator.tokenizer, (), lambda: evaluator)
    reward = build_reward("2*generative", context)
    batch = RewardBatch(tokens, lambda _: CAPTIONS, no_dual_encoder, image_tokens=lambda: images)
    assert torch.allclose(reward(batch), 2 * evaluator.score(images, tokens))


def test_without_a_generative_evaluator_the_reward_is_refused(evaluator):
    with pytest.raises(ConfigError, match="generative"):
        build_reward("generative", RewardContext(no_dual_encoder, evaluator.tokenizer))


def no_dual_encoder(weights):
    raise AssertionError(f"nothing is embedded by {weights}")


def test_saved_and_loaded_it_scores_the_same(evaluator, tmp_path):
    evaluator.save(tmp_path / "made")
    loaded = GenerativeEvaluator.load(tmp_path / "made")
    images = torch.randn(1, 4, 6)
    tokens = evaluator.tokenizer.encode_batch(CAPTIONS, 16)[None]
    assert torch.equal(loaded.score(images, tokens), evaluator.score(images, tokens))
    assert not any(p.requires_grad for p in loaded.parameters())


def test_a_changed_file_is_refused(evaluator, tmp_path):
    evaluator.save(tmp_path / "made")
    data = bytearray((tmp_path / "made" / BLIND_FILE).read_bytes())
    data[-1] ^= 1
    (tmp_path / "made" / BLIND_FILE).write_bytes(data)
    with pytest.raises(DigestError):
        GenerativeEvaluator.load(tmp_path / "made")


def test_a_captioner_alone_is_no_generative_evaluator(evaluator, tmp_path):
    evaluator.captioner.save(tmp_path / "captioner")
    with pytest.raises(DataError, match=r"generative\.json: missing"):
        GenerativeEvaluator.load(tmp_path / "captioner")


def test_settings_of_another_format_are_refused(evaluator, tmp_path):
    from dico.storage import write_digests

    evaluator.save(tmp_path / "made")
    settings = {"format": 9, "alpha": 0.5, "tower": "pac"}
    (tmp_path / "made" / "generative.json").write_text(json.dumps(settings))
    write_digests(tmp_path / "made")
    with pytest.raises(DataError, match="of format 9; this version reads 1"):
        GenerativeEvaluator.load(tmp_path / "made")
