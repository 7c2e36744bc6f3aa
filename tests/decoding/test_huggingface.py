"""Searches of tiny random models of the real transformers classes, and one step of DiCO on them."""

import copy

import pytest
import torch

from dico.decoding import DecodingConfig
from dico.decoding.huggingface import sample, search
from dico.losses import dico_loss
from dico.models.huggingface.inputs import collate
from tests.policy.families import (
    FAMILIES,
    IDS,
    PROMPTED,
    blip,
    git,
    images,
    random_captioner,
    random_model,
    vision_encoder_decoder,
)


@pytest.mark.parametrize("make", FAMILIES)
def test_one_dico_step(make):
    policy = random_captioner(make)
    reference = copy.deepcopy(policy).requires_grad_(False)
    seen = images(make, 2)
    with torch.no_grad():
        states = policy.encode(seen)
    found = search(policy, states, DecodingConfig(num_beams=3, max_tokens=9))
    assert found.tokens.shape[:2] == (2, 3)
    assert (found.tokens[:, :, 0] == policy.bos_id).all()
    last = found.tokens.gather(2, found.lengths[:, :, None] - 1)
    assert (last == policy.eos_id).all()

    one_by_one = torch.zeros(2, 3)
    with torch.no_grad():
        for b, one in enumerate(seen.split(1)):
            for k in range(3):
                row = found.tokens[b, k, : found.lengths[b, k]][None]
                logits = policy.next_logits(policy.encode(one), row[:, :-1])[0].double()
                for t in range(row.shape[1] - 1):
                    one_by_one[b, k] += logits[t].log_softmax(0)[row[0, t + 1]]
    torch.testing.assert_close(found.logps, one_by_one, atol=2e-5, rtol=1e-5)

    logps = policy.score_candidates(policy.encode(seen), found.tokens)
    with torch.no_grad():
        scored = reference.score_candidates(reference.encode(seen), found.tokens)
    assert torch.equal(logps, scored)
    loss, _ = dico_loss(logps, scored, torch.rand(2, 3), 0.2, 300.0)
    loss.backward()
    assert all(p.grad is not None for p in policy.image_encoder.parameters() if p.dim() > 2)


@pytest.mark.parametrize("make", FAMILIES)
@pytest.mark.parametrize("changes", [{"rule": "transformers4"}, {"num_groups": 2}])
@torch.no_grad()
def test_both_rules_and_groups_find_captions(make, changes):
    captioner = random_captioner(make)
    states = captioner.encode(images(make, 3))
    config = DecodingConfig(num_beams=4, max_tokens=7, **changes)
    found = search(captioner, states, config)
    assert torch.equal(found.logps, captioner.score_candidates(states, found.tokens))
    assert (found.scores[:, :-1] >= found.scores[:, 1:]).all()


@pytest.mark.parametrize("make", FAMILIES)
@pytest.mark.parametrize("max_tokens", [3, 4, 8])
@torch.no_grad()
def test_candidates_cut_at_the_limit_differ_and_come_best_first(make, max_tokens):
    captioner = random_captioner(make)
    states = captioner.encode(images(make, 6))
    found = search(captioner, states, DecodingConfig(max_tokens=max_tokens))
    assert (found.lengths == max_tokens).any()
    for captions in found.tokens.tolist():
        assert len(set(map(tuple, captions))) == 5
    last = found.tokens.gather(2, found.lengths[:, :, None] - 1)
    assert (last == captioner.eos_id).all()
    assert (found.scores[:, :-1] >= found.scores[:, 1:]).all()
    assert (found.scores[:, 0] > found.scores[:, -1]).all()
    assert torch.equal(found.logps, captioner.score_candidates(states, found.tokens))


@pytest.mark.parametrize("make", FAMILIES)
@torch.no_grad()
def test_a_forced_end_costs_what_it_would_cost_elsewhere(make):
    """Captions of two words: those whose end is forced compete with the one that ends at once."""
    captioner = random_captioner(make)
    seen = images(make, 8)
    states = captioner.encode(seen)
    first = captioner.next_logits(states, torch.full((8, 1), captioner.bos_id))[:, 0]
    captioner.eos_ids = [eos := int(first[0].argsort()[-2])]
    found = search(captioner, states, DecodingConfig(num_beams=3, max_tokens=3))
    for image in range(8):
        ranked = first[image].argsort(descending=True).tolist()
        captions = [[1, word, eos] for word in ranked if word != eos][:3]
        if eos in ranked[:3]:
            captions.append([1, eos, captioner.pad_id])
        tokens = torch.tensor([captions])
        alone = captioner.encode(seen.split(1)[image])
        logps = captioner.score_candidates(alone, tokens)[0]
        scores = logps / (tokens[0, :, 1:] != captioner.pad_id).sum(dim=-1)
        expected = tokens[0, scores.argsort(descending=True)[:3]]
        assert torch.equal(found.tokens[image], expected)


def test_samples_take_their_chance_from_the_generator_and_use_it_up():
    captioner = random_captioner(git)
    with torch.no_grad():
        states = captioner.encode(torch.randn(4, 3, 32, 32))
    config, before = DecodingConfig(max_tokens=8), torch.get_rng_state()

    def draw(generator):
        return sample(captioner, states, config, generator).tokens.tolist()

    generator = torch.Generator().manual_seed(7)
    first, second = draw(generator), draw(generator)
    again = torch.Generator().manual_seed(7)
    assert [draw(again), draw(again)] == [first, second]
    assert first != second
    assert draw(torch.Generator().manual_seed(8)) != first
    assert torch.equal(torch.get_rng_state(), before)


def test_samples_of_a_spoiled_image_have_logps_that_tell():
    captioner = random_captioner(git)
    with torch.no_grad():
        states = captioner.encode(torch.randn(2, 3, 32, 32))
    states[1] = torch.nan
    found = sample(captioner, states, DecodingConfig(max_tokens=6), torch.Generator())
    assert found.logps[0].isfinite().all()
    assert found.logps[1].isnan().all()
    last = found.tokens.gather(2, found.lengths[:, :, None] - 1)
    assert (last == captioner.eos_id).all()


@pytest.mark.parametrize("make", PROMPTED)
@torch.no_grad()
def test_no_caption_holds_the_images_place(make):
    captioner = random_captioner(make)
    place = captioner.model.config.image_token_id
    states = captioner.encode(images(make, 32))
    first = captioner.next_logits(states, torch.full((32, 1), captioner.bos_id))[:, 0]
    config = DecodingConfig(num_beams=8, max_tokens=6)
    assert (first.topk(8).indices == place).any()
    assert not (search(captioner, states, config).tokens == place).any()
    drawn = sample(captioner, states, config, torch.Generator().manual_seed(0))
    assert not (drawn.tokens == place).any()


def by_transformers(make, model, seen, **options):
    """``generate`` of the model's own, from pixels."""
    begin = torch.full((len(seen), 1), IDS["bos_token_id"])
    if make in PROMPTED:
        inputs = collate(seen)
    else:
        inputs = {"pixel_values": seen}
        if make is git:
            inputs["input_ids"] = begin
    options |= {"decoder_start_token_id": 1} if make is vision_encoder_decoder else {}
    if make is blip:  # its generate leaves the first and the last word out of what it may search
        states = model.vision_model(**inputs)[0]
        model, inputs = model.text_decoder, {"input_ids": begin, "encoder_hidden_states": states}
    ids = inputs.get("input_ids", begin)
    if make in PROMPTED:
        inputs["attention_mask"] = torch.ones_like(ids)
    return model.generate(**inputs, **options), ids.shape[1]


@pytest.mark.parametrize("make", FAMILIES)
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
@torch.no_grad()
def test_captions_left_open_are_those_of_transformers(make, length_penalty):
    captioner, seen = random_captioner(make), images(make, 4)
    states = captioner.encode(seen)
    config = DecodingConfig(
        num_beams=4, max_tokens=9, length_penalty=length_penalty, eos_at_limit="open"
    )
    liked = int(search(captioner, states, config).tokens[0, 1, 5])
    ended = []
    for eos_id in (captioner.eos_id, liked):
        captioner.eos_ids = [eos_id]
        found = search(captioner, states, config)
        theirs, begins = by_transformers(
            make,
            random_model(make),
            seen,
            eos_token_id=eos_id,
            pad_token_id=eos_id,
            suppress_tokens=captioner.excluded_ids or None,
            num_beams=4,
            num_return_sequences=4,
            max_new_tokens=8,
            length_penalty=length_penalty,
            return_dict_in_generate=True,
            output_scores=True,
        )
        last = found.tokens.gather(2, found.lengths[:, :, None] - 1)
        ended.append(last == eos_id)
        tokens = found.tokens.masked_fill(found.tokens == captioner.pad_id, eos_id)
        assert torch.equal(tokens[:, :, 1:].flatten(0, 1), theirs.sequences[:, begins:])
        scores = theirs.sequences_scores
        torch.testing.assert_close(found.scores.flatten(), scores, atol=1e-5, rtol=1e-5)
    assert torch.cat(ended).any()
    assert not torch.cat(ended).all()
