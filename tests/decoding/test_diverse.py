"""Diverse beams against a naive search in double precision, and against plain beams."""

import dataclasses
import math

import pytest
import torch

from dico.decoding import DecodingConfig, beam_search, diverse_beam_search
from dico.errors import ConfigError
from dico.models.captioner import Captioner
from dico.policy import policy_of
from tests.builders import random_captioner
from tests.oracles import score_captions

VOCAB_SIZE = 24


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return random_captioner(vocab_size=VOCAB_SIZE)


@pytest.fixture(scope="module")
def memory(captioner) -> torch.Tensor:
    torch.manual_seed(1)
    return captioner.encode(torch.randn(5, 4, 12)).detach()


def naive(captioner, memory, config):
    """One image, lists, no cache; the rule of transformers 5."""
    num_groups, penalty = config.num_groups, config.diversity_penalty
    per_group = config.num_beams // num_groups
    running = [[(0.0, [captioner.bos_id])] for _ in range(num_groups)]
    finished = [[] for _ in range(num_groups)]
    done = [False] * num_groups
    for length in range(1, config.max_tokens):
        taken = [0] * VOCAB_SIZE
        for g in range(num_groups):
            if done[g]:
                continue
            continuations = []
            for total, tokens in running[g]:
                logits = captioner.logits(memory, torch.tensor([tokens]))[0, -1].double()
                for word, gain in enumerate(logits.log_softmax(0).tolist()):
                    allowed = word not in (captioner.bos_id, captioner.pad_id)
                    if length + 1 == config.max_tokens:
                        allowed = word == captioner.eos_id
                    if allowed:
                        worth = total + gain - penalty * taken[word]
                        continuations.append((worth, [*tokens, word]))
            continuations.sort(key=lambda c: -c[0])
            best = continuations[: 2 * per_group]
            ended = [c for c in best[:per_group] if c[1][-1] == captioner.eos_id]
            finished[g] += [(total / length, tokens) for total, tokens in ended]
            finished[g] = sorted(finished[g], key=lambda f: -f[0])[:per_group]
            running[g] = [c for c in best if c[1][-1] != captioner.eos_id][:per_group]
            for _, tokens in running[g]:
                taken[tokens[-1]] += 1
            full = len(finished[g]) == per_group
            hopeless = not running[g] or (full and finished[g][-1][0] >= running[g][0][0] / length)
            done[g] = full and hopeless
    return sorted((f for group in finished for f in group), key=lambda f: -f[0])


@pytest.mark.parametrize(("num_groups", "penalty"), [(3, 0.7), (2, 3.0), (6, 1.5)])
def test_groups_equal_naive_search(captioner, memory, num_groups, penalty):
    config = DecodingConfig(
        num_beams=6, max_tokens=8, num_groups=num_groups, diversity_penalty=penalty
    )
    found = diverse_beam_search(captioner, memory, config)
    for image in range(len(memory)):
        with torch.no_grad():
            expected = naive(captioner, memory[image : image + 1], config)
        scores = [score for score, _ in expected]
        assert found.scores[image].tolist() == pytest.approx(scores, abs=1e-5)
        lengths = found.lengths[image].tolist()
        ours = [row[:n] for row, n in zip(found.tokens[image].tolist(), lengths, strict=True)]
        assert sorted(ours) == sorted(tokens for _, tokens in expected)


def test_one_group_is_plain_beam_search(captioner, memory):
    for rule in ("transformers5", "transformers4"):
        config = DecodingConfig(num_beams=4, max_tokens=10, diversity_penalty=5.0, rule=rule)
        plain = beam_search(captioner, memory, config)
        found = diverse_beam_search(captioner, memory, config)
        assert torch.equal(found.tokens, plain.tokens)
        torch.testing.assert_close(found.scores, plain.scores)
        torch.testing.assert_close(found.logps, plain.logps, atol=1e-5, rtol=1e-5)


def test_a_high_price_spreads_first_words_and_logps_stay_exact(captioner, memory):
    config = DecodingConfig(num_beams=4, max_tokens=10, num_groups=4, diversity_penalty=100.0)
    found = diverse_beam_search(captioner, memory, config)
    plain = beam_search(captioner, memory, config)
    distinct, before = (
        sum(len(set(words)) for words in candidates.tokens[:, :, 1].tolist())
        for candidates in (found, plain)
    )
    assert distinct > 1.3 * before
    with torch.no_grad():
        expected = score_captions(captioner, memory, found.tokens)
    torch.testing.assert_close(found.logps, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rule", ["transformers5", "transformers4"])
def test_a_policy_searches_in_groups_where_asked(captioner, memory, rule):
    config = DecodingConfig(
        num_beams=6, max_tokens=10, num_groups=3, diversity_penalty=3.0, rule=rule
    )
    expected = diverse_beam_search(captioner, memory, config)
    found = policy_of(captioner).search(memory, config)
    assert torch.equal(found.tokens, expected.tokens)
    assert torch.equal(found.scores, expected.scores)
    assert (found.scores[:, :-1] >= found.scores[:, 1:]).all()
    assert all(len(set(map(tuple, captions))) == 6 for captions in found.tokens.tolist())
    plain = policy_of(captioner).search(memory, dataclasses.replace(config, num_groups=1))
    assert plain.tokens.tolist() != found.tokens.tolist()


def test_without_a_penalty_all_groups_find_the_same(captioner, memory):
    config = DecodingConfig(num_beams=4, max_tokens=10, num_groups=2, diversity_penalty=0.0)
    found = diverse_beam_search(captioner, memory, config).tokens
    assert torch.equal(found[:, ::2], found[:, 1::2])
    assert (found[:, 0] != found[:, 2]).any(dim=-1).all()


@pytest.mark.parametrize(
    ("num_groups", "why"),
    [
        (-5, "must be at least 1"),
        (0, "must be at least 1"),
        (2, r"must divide num_beams \(5\)"),
        (10, r"must divide num_beams \(5\)"),
    ],
)
def test_groups_must_divide_the_beams(num_groups, why):
    told = rf"^num_groups: {why}, got {num_groups}$"
    with pytest.raises(ConfigError, match=told):
        DecodingConfig(num_beams=5, num_groups=num_groups)


@pytest.mark.parametrize(
    ("penalty", "why"),
    [(-0.1, "at least 0"), (math.inf, "finite"), (math.nan, "at least 0")],
)
def test_the_penalty_is_a_price(penalty, why):
    told = f"^diversity_penalty: must be {why}, got {penalty}$"
    with pytest.raises(ConfigError, match=told):
        DecodingConfig(diversity_penalty=penalty)
