"""A captioner's likelihood as a judge: the evaluator's own score, in batches of any size."""

import numpy as np
import pytest
import torch

from dico.audit.generative import GenerativeJudge
from tests.builders import generative_evaluator

CAPTIONS = [["a red circle", "a ring"], ["a blue square above a ring", "a red circle on a box"]]


@pytest.fixture
def evaluator():
    return generative_evaluator([text for own in CAPTIONS for text in own])


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_scores_are_the_evaluators(evaluator, batch_size):
    images = {key: torch.randn(4, 6).numpy() for key in "ab"}
    judge = GenerativeJudge("generative", images, evaluator, batch_size)
    keys, captions = ["a", "b", "a"], [*CAPTIONS, CAPTIONS[1]]
    scores = judge.score(keys, captions)
    for row, (key, own) in enumerate(zip(keys, captions, strict=True)):
        for place, text in enumerate(own):
            tokens = evaluator.tokenizer.encode_batch([text], evaluator.max_tokens)
            expected = evaluator.score(torch.from_numpy(images[key])[None], tokens[None])
            assert scores[row, place] == pytest.approx(float(expected), abs=1e-4)
    assert scores.dtype == np.float64
