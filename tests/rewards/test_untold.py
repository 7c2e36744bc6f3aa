"""Words that nobody tells earn nothing: two captions that differ in them alone score alike."""

import pytest
import torch

from dico.models.tokenizer import Tokenizer
from dico.rewards import RewardBatch
from dico.rewards.untold import WithoutUntoldWords

TEXTS = ["a ring left of a square", "a ring to the left of a square", "a ring above a square", "a"]
TOKENIZER = Tokenizer.train(TEXTS, 280)


def test_untold_words_earn_nothing():
    def reward(batch):
        return (batch.tokens != TOKENIZER.pad_id).sum(dim=-1).float()

    tokens = TOKENIZER.encode_batch(TEXTS, 40)[None]
    batch = RewardBatch(tokens, TOKENIZER.decode_batch, lambda weights: None)
    words = ["left of", "to the left of", "above"]
    scores = WithoutUntoldWords(reward, words, TOKENIZER, 40)(batch)
    assert scores.shape == (1, 4)
    assert scores[0, 0] == scores[0, 1] == scores[0, 2] > scores[0, 3]
    assert reward(batch)[0, 1] > reward(batch)[0, 0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a Ring to the left of a square", "a a square"),
        ("rings above", "rings above"),
        ("the ring", "the"),
        ("", ""),
    ],
)
def test_whole_words_are_left_out(text, expected):
    words = ["ring", "to the left of", "left of"]
    assert WithoutUntoldWords(None, words, TOKENIZER, 40).without(text) == expected


def test_other_inputs_are_handed_on():
    seen = []

    def reward(batch):
        seen.append(batch)
        return torch.zeros(batch.tokens.shape[:2])

    embeddings = {"pac": torch.zeros(1, 3)}.__getitem__
    batch = RewardBatch(
        TOKENIZER.encode_batch(TEXTS[:2], 40)[None], TOKENIZER.decode_batch, embeddings, [["x"]]
    )
    WithoutUntoldWords(reward, ["ring"], TOKENIZER, 40)(batch)
    assert seen[0].image_embeddings is embeddings
    assert seen[0].references == [["x"]]
    assert seen[0].texts == [["a left of a square", "a to the left of a square"]]
