"""A captioner's likelihood as a judge: the evaluator's own score, in batches of any size."""

import numpy as np
import pytest
import torch

from dico.audit.generative import GenerativeJudge
from dico.models.captioner import Captioner, CaptionerConfig
from dico.models.generative import GenerativeEvaluator
from dico.models.tokenizer import Tokenizer

CAPTIONS = [["a red circle", "a ring"], ["a blue square above a ring", "a red circle on a box"]]


@pytest.fixture
def evaluator():
    torch.manual_seed(0)
    tokenizer = Tokenizer.train([text for own in CAPTIONS for text in own], 300)
    sizes = {"width": 16, "num_encoder_layers": 0, "num_decoder_layers": 1, "num_heads": 2}
    config = CaptionerConfig(
        feature_width=6,
        num_image_positions=4,
        num_text_positions=16,
        vocab_size=tokenizer.vocab_size,
        ffn_width=32,
        **sizes,
    )
    made = GenerativeEvaluator(Captioner(config, tokenizer).eval(), alpha=0.5)
    made.blind_tokens.data.normal_()
    with torch.no_grad():
        for parameter in made.captioner.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


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
