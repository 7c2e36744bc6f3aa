"""Searches of tiny random models of the real transformers classes, and one step of DiCO on them."""

import copy

import pytest
import torch

from dico.decoding import DecodingConfig
from dico.decoding.huggingface import generate
from dico.errors import ConfigError
from dico.losses import dico_loss
from dico.models.huggingface import load, save, wrap
from tests.policy.families import (
    FAMILIES,
    blip,
    git,
    llava,
    random_captioner,
    vision_encoder_decoder,
)


@pytest.mark.parametrize("make", FAMILIES)
def test_one_dico_step_from_pixels_to_export(make, tmp_path):
    policy = random_captioner(make)
    reference = copy.deepcopy(policy).requires_grad_(False)
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        states = policy.encode(pixels)
    config = DecodingConfig(num_beams=3, max_tokens=9)
    found = generate(policy, states, config)
    assert found.tokens.shape[:2] == (2, 3)
    assert (found.tokens[:, :, 0] == policy.bos_id).all()
    last = found.tokens.gather(2, found.lengths[:, :, None] - 1)
    assert (last == policy.eos_id).all()

    one_by_one = torch.zeros(2, 3)
    with torch.no_grad():
        for b in range(2):
            for k in range(3):
                row = found.tokens[b, k, : found.lengths[b, k]][None]
                logits = policy.next_logits(states[b : b + 1], row)[0].double()
                for t in range(row.shape[1] - 1):
                    one_by_one[b, k] += logits[t].log_softmax(0)[row[0, t + 1]]
    torch.testing.assert_close(found.logps, one_by_one, atol=2e-5, rtol=1e-5)

    logps = policy.score_candidates(policy.encode(pixels), found.tokens)
    with torch.no_grad():
        scored = reference.score_candidates(reference.encode(pixels), found.tokens)
    assert torch.equal(logps, scored)
    loss, _ = dico_loss(logps, scored, torch.rand(2, 3), 0.2, 300.0)
    loss.backward()
    with torch.no_grad():
        for value in policy.parameters():
            if value.grad is not None:
                value.sub_(1e-2 * value.grad)
    save(policy, tmp_path)
    again = load(tmp_path)
    with torch.no_grad():
        expected = policy.score_candidates(policy.encode(pixels), found.tokens)
        loaded = again.score_candidates(again.encode(pixels), found.tokens)
    assert not torch.equal(expected, scored)
    torch.testing.assert_close(loaded, expected, atol=1e-5, rtol=1e-5)


def test_what_is_not_supported_is_named():
    captioner = random_captioner(llava)
    model = captioner.model
    with pytest.raises(ConfigError, match="image's places"):
        wrap(model, [1, 2])
    with pytest.raises(ConfigError, match="transformers5"):
        generate(captioner, torch.randn(1, 3, 32, 32), DecodingConfig(rule="transformers4"))
    model.config.model_type = "unknown"
    with pytest.raises(ConfigError, match="known are"):
        wrap(model)


@pytest.mark.parametrize("make", [vision_encoder_decoder, blip, git])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_scores_are_those_of_transformers(make, length_penalty):
    """Of captions that end by themselves; at the limit ours end in EOS and theirs stay open."""
    captioner = random_captioner(make)
    with torch.no_grad():
        states = captioner.encode(torch.randn(4, 3, 32, 32))
    config = DecodingConfig(num_beams=4, max_tokens=20, length_penalty=length_penalty)
    captioner.eos_id = int(generate(captioner, states, config).tokens[0, 1, 5])  # one it likes
    found = generate(captioner, states, config)
    theirs = captioner.generate(
        states,
        eos_token_id=captioner.eos_id,
        pad_token_id=captioner.eos_id,
        num_beams=4,
        num_return_sequences=4,
        max_new_tokens=19,
        length_penalty=length_penalty,
        return_dict_in_generate=True,
        output_scores=True,
    ).sequences_scores
    ended = found.lengths.flatten() < config.max_tokens
    assert ended.any()
    torch.testing.assert_close(found.scores.flatten()[ended], theirs[ended], atol=1e-5, rtol=1e-5)
