"""A reward of captions in other ids is that of their texts in the evaluator's."""

import torch

from dico.models.tokenizer import Tokenizer
from dico.rewards import RetokenisedReward

TEXTS = ["a red circle", "two squares", "a", ""]


def test_texts_reach_the_reward_in_the_evaluators_ids():
    theirs = Tokenizer.train(TEXTS, 270)
    decode = dict(zip([10, 11, 12, 13], TEXTS, strict=True))
    seen = []

    def reward(embeddings, tokens, references=None):
        seen.append((embeddings, tokens, references))
        return tokens.sum(dim=-1).float()

    wrapped = RetokenisedReward(
        reward, lambda ids: [decode[row[0]] for row in ids.tolist()], theirs, 5
    )
    tokens = torch.tensor([[[10, 0], [11, 0]], [[12, 0], [13, 0]]])
    images = {"pac": torch.zeros(2, 3)}.__getitem__
    scores = wrapped(images, tokens, [["x"], ["y"]])
    ((embeddings, ids, references),) = seen
    assert embeddings is images
    expected = theirs.encode_batch(TEXTS, 5)
    assert ids.shape == (2, 2, expected.shape[1])
    assert torch.equal(ids.flatten(0, 1), expected)
    assert references == [["x"], ["y"]]
    assert torch.equal(scores.flatten(), expected.sum(dim=-1).float())
    assert theirs.decode_batch(ids.flatten(0, 1))[2:] == ["a", ""]
