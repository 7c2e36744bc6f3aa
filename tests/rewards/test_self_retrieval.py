"""The self-retrieval reward on joined towers: what finds its image is worth more."""

import dataclasses

import pytest
import torch

from dico.errors import ConfigError
from dico.presets.config import resolve
from dico.presets.plugins import check_plugins
from dico.rewards import RewardBatch, RewardContext, build_reward
from dico.training.folds import train_folds
from dico.training.projections import pooled, train_projections
from tests.training.test_projections import TRAINING, evaluator, records  # noqa: F401


@pytest.fixture
def joined(evaluator, records):  # noqa: F811
    """A trained evaluator and its folds."""
    seen = pooled(records, evaluator)
    train_projections(seen, seen.chosen(torch.arange(0)), evaluator.model, TRAINING, seed=1)
    config = dataclasses.replace(TRAINING, weights="pip:a+b", reward_folds=2)
    return evaluator, train_folds(records, seen, evaluator.model, config, seed=1)


def reward_of(evaluator, folds):  # noqa: F811
    return build_reward(
        "self-retrieval", RewardContext(lambda _: evaluator, None, folds=lambda: folds)
    )


def batch_of(evaluator, records, texts):  # noqa: F811
    tokens = evaluator.tokenizer.encode_batch([text for group in texts for text in group], 20)
    pixels = torch.randn(len(records), 3, 32, 32, generator=torch.Generator().manual_seed(2))
    return RewardBatch(
        tokens.view(len(records), -1, tokens.shape[-1]),
        decode=lambda ids: [],
        image_embeddings=lambda weights: evaluator.embed_images(pixels),
        image_ids=[record.sha256 for record in records],
    )


def test_scores_are_those_of_each_caption_by_itself(joined, records):  # noqa: F811
    evaluator, folds = joined  # noqa: F811
    texts = [["a red wall", "a green wall"], ["blue", "a wall of green"], ["a", "yellow wall"]]
    reward = reward_of(evaluator, folds)
    chosen = [records[0], records[1], dataclasses.replace(records[2], sha256="0" * 64)]
    batch = batch_of(evaluator, chosen, texts)
    found = reward(batch)
    assert found.shape == (3, 2)
    for b, group in enumerate(texts):
        for k, text in enumerate(group):
            tokens = evaluator.tokenizer.encode_batch([text], 20)
            alone = evaluator.model.pooled_texts(tokens)
            image = batch.image_embeddings("pac")[b]
            expected = folds.log_retrieval(chosen[b].sha256, alone, image)
            assert found[b, k] == pytest.approx(float(expected), abs=1e-4)


def test_a_true_caption_is_worth_more_than_a_false_one(joined, records):  # noqa: F811
    evaluator, folds = joined  # noqa: F811
    reward = reward_of(evaluator, folds)
    texts = [
        [record.captions[0], records[(n + 1) % 6].captions[0]] for n, record in enumerate(records)
    ]
    true, false = reward(batch_of(evaluator, records, texts)).unbind(dim=1)
    assert (true > false).float().mean() > 0.7


def test_folds_are_asked_for_in_the_first_second():
    with pytest.raises(ConfigError, match=r"evaluator\.reward_folds: must be at least 2"):
        check_plugins(resolve("photos", "finetune.reward=self-retrieval evaluator.reward_folds=0"))
    with pytest.raises(ConfigError, match=r"evaluator\.reward_folds: must be at least 2"):
        check_plugins(resolve("toy", "finetune.reward=self-retrieval"))
    check_plugins(resolve("photos", "finetune.reward=self-retrieval evaluator.reward_folds=2"))
    with pytest.raises(ConfigError, match="asks for an evaluator's folds"):
        build_reward("self-retrieval", RewardContext(lambda _: None, None))
