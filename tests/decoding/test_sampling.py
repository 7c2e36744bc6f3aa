"""Sampling: exact log-probabilities, cuts, chance by seed, and frequencies."""

import math

import pytest
import torch

from dico.decoding import DecodingConfig, greedy, sample
from dico.decoding.sampling import _cut, _exact_sums_before, _sums_before
from dico.errors import ConfigError
from dico.models.captioner import Captioner
from tests.builders import random_captioner
from tests.oracles import score_captions


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return random_captioner(vocab_size=12)


def draw(captioner, memory, seed=0, **options):
    config = DecodingConfig(num_beams=4, max_tokens=8)
    return sample(captioner, memory, config, torch.Generator().manual_seed(seed), **options)


@pytest.mark.parametrize("options", [{}, {"temperature": 0.5}, {"top_k": 3}, {"top_p": 0.7}])
def test_logps_are_those_of_the_model_itself(captioner, options):
    memory = captioner.encode(torch.randn(3, 5, 12)).detach()
    found = draw(captioner, memory, **options)
    with torch.no_grad():
        expected = score_captions(captioner, memory, found.tokens)
    torch.testing.assert_close(found.logps, expected, atol=1e-5, rtol=1e-5)
    last = found.tokens.gather(2, found.lengths[:, :, None] - 1)
    assert (last == captioner.eos_id).all()
    after = torch.arange(found.tokens.shape[2]) >= found.lengths[:, :, None]
    assert (found.tokens[after] == captioner.pad_id).all()
    assert not (found.tokens[~after] == captioner.pad_id).any()


def test_chance_comes_from_the_generator_alone(captioner):
    memory = captioner.encode(torch.randn(3, 5, 12)).detach()
    first, again, other = (draw(captioner, memory, seed).tokens for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)


def test_the_narrowest_cuts_are_greedy(captioner):
    memory = captioner.encode(torch.randn(3, 5, 12)).detach()
    best = greedy(captioner, memory, DecodingConfig(max_tokens=8)).tokens
    for options in (
        {"top_k": 1},
        {"top_p": 1e-6},
        {"temperature": 1e-4},
        {"temperature": torch.finfo(torch.float32).tiny},
    ):
        tokens = draw(captioner, memory, **options).tokens
        assert torch.equal(tokens, best.expand(-1, 4, -1))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("temperature", [0.0, -1.0, 1e-46, math.inf, math.nan]),
        ("top_k", [-1]),
        ("top_p", [0.0, -0.5, 1.5, math.nan]),
    ],
)
def test_what_cannot_be_drawn_by_is_refused(captioner, name, values):
    memory = captioner.encode(torch.randn(1, 5, 12)).detach()
    for value in values:
        with pytest.raises(ConfigError, match=f"^{name}: must be .*, got {value}"):
            draw(captioner, memory, **{name: value})


def test_a_spoiled_model_makes_captions_of_words_whose_logps_tell():
    captioner = random_captioner(vocab_size=12)
    memory = captioner.encode(torch.randn(3, 5, 12)).detach()
    with torch.no_grad():
        captioner.decoder.token_embedding.weight[4] = math.nan
    config = DecodingConfig(max_tokens=8)
    for found in (draw(captioner, memory), greedy(captioner, memory, config)):
        assert found.logps.isnan().all()
        last = found.tokens.gather(2, found.lengths[:, :, None] - 1)
        assert (last == captioner.eos_id).all()
        after = torch.arange(found.tokens.shape[2]) >= found.lengths[:, :, None]
        assert torch.equal(found.tokens == captioner.pad_id, after)
        assert not (found.tokens[:, :, 1:] == captioner.bos_id).any()


def test_first_words_come_as_often_as_the_model_says(captioner):
    memory = captioner.encode(torch.randn(1, 5, 12)).detach()
    config = DecodingConfig(num_beams=10, max_tokens=3)
    many = memory.expand(2000, -1, -1)
    found = sample(captioner, many, config, torch.Generator().manual_seed(0))
    shares = torch.bincount(found.tokens[:, :, 1].flatten(), minlength=12) / 20_000
    with torch.no_grad():
        logits = captioner.logits(memory, torch.tensor([[captioner.bos_id]]))[0, 0]
    logits[[captioner.bos_id, captioner.pad_id]] = -torch.inf
    torch.testing.assert_close(shares, logits.softmax(0), atol=0.015, rtol=0)


def test_cuts_on_literal_probabilities():
    logits = torch.tensor([[0.5, 0.1, 0.3, 0.1]]).log()
    assert _cut(logits, 2, 1.0).isfinite().tolist() == [[True, False, True, False]]
    assert _cut(logits, 0, 0.6).isfinite().tolist() == [[True, False, True, False]]
    assert _cut(logits, 0, 0.5).isfinite().tolist() == [[True, False, False, False]]
    assert _cut(logits, 0, 1.0).isfinite().all()


def test_the_gpus_sums_are_exact_and_those_of_the_cpu_within_rounding():
    literal = torch.tensor([[0.5, 0.25, 0.125, 0.125]])
    for sums in (_sums_before, _exact_sums_before):
        assert sums(literal).tolist() == [[0.0, 0.5, 0.75, 0.875]]
    torch.manual_seed(0)
    shares = (3 * torch.randn(8, 50_000)).softmax(dim=-1).sort(dim=-1, descending=True).values
    exact = _exact_sums_before(shares)
    torch.testing.assert_close(_sums_before(shares).double(), exact, atol=1e-6, rtol=0)
    for top_p in (0.5, 0.9, 0.99):
        kept = (exact < top_p).sum(dim=-1)
        nearly = (_sums_before(shares) < top_p).sum(dim=-1)
        assert (kept - nearly).abs().max() <= 1
    after = _exact_sums_before(shares.flip(1)).flip(1)
    total = exact + shares.double() + after
    assert (total.amax(dim=1) - total.amin(dim=1)).max() < 1e-14
