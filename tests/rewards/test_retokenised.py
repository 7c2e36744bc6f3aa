"""A reward of captions in other ids is that of their texts in the evaluator's."""

import pytest
import torch

from dico.errors import DataError
from dico.models.tokenizer import Tokenizer
from dico.rewards import RetokenisedReward, RewardBatch

TEXTS = ["a red circle", "two squares", "a", ""]


def test_texts_reach_the_reward_in_the_evaluators_ids():
    theirs = Tokenizer.train(TEXTS, 270)
    decode = dict(zip([10, 11, 12, 13], TEXTS, strict=True))
    seen = []

    def reward(batch):
        seen.append(batch)
        return batch.tokens.sum(dim=-1).float()

    tokens = torch.tensor([[[10, 0], [11, 0]], [[12, 0], [13, 0]]])
    images = {"pac": torch.zeros(2, 3)}.__getitem__
    batch = RewardBatch(
        tokens, lambda ids: [decode[row[0]] for row in ids.tolist()], images, [["x"], ["y"]]
    )
    scores = RetokenisedReward(reward, theirs, 5)(batch)
    (given,) = seen
    assert given.image_embeddings is images
    expected = theirs.encode_batch(TEXTS, 5)
    assert given.tokens.shape == (2, 2, expected.shape[1])
    assert torch.equal(given.tokens.flatten(0, 1), expected)
    assert given.references == [["x"], ["y"]]
    assert given.texts == [["a red circle", "two squares"], ["a", ""]]
    assert torch.equal(scores.flatten(), expected.sum(dim=-1).float())
    assert theirs.decode_batch(given.tokens.flatten(0, 1))[2:] == ["a", ""]


def test_images_are_asked_for_only_where_they_were_given():
    batch = RewardBatch(torch.zeros(1, 2, 3), lambda ids: ["x"] * len(ids), lambda weights: None)
    assert batch.num_candidates == 2
    assert batch.texts == [["x", "x"]]
    with pytest.raises(DataError, match="looks at images, and none were given"):
        batch.images()
