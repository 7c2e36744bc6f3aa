"""How much a search computes: images once, and no step of the decoder that nothing needs."""

import pytest
import torch

from dico.decoding import DecodingConfig, beam_search, greedy, sample
from dico.models.captioner import Captioner
from dico.models.decoder import DecoderLayer
from dico.models.decoder_cache import DecoderCache
from dico.policy import policy_of
from tests.decoding.test_beam import as_transformers, by_generate, images, trained_captioner

CONFIG = DecodingConfig(num_beams=4, max_tokens=14)
SEARCHES = {
    "beam": beam_search,
    "greedy": greedy,
    "sample": lambda captioner, memory, config: sample(
        captioner, memory, config, torch.Generator().manual_seed(0)
    ),
}


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return trained_captioner()


@pytest.fixture
def kv_shapes(monkeypatch) -> list[tuple[int, ...]]:
    """Shapes of the memories of which a layer of the decoder made keys and values."""
    shapes, cross_kv = [], DecoderLayer.cross_kv

    def watched(layer, memory, *product):
        shapes.append(tuple(memory.shape))
        return cross_kv(layer, memory, *product)

    monkeypatch.setattr(DecoderLayer, "cross_kv", watched)
    return shapes


@pytest.fixture
def num_rows(monkeypatch) -> list[int]:
    """Captions in the making at each step of the decoder."""
    rows, step = [], DecoderCache.step

    def watched(cache, tokens):
        rows.append(len(tokens))
        return step(cache, tokens)

    monkeypatch.setattr(DecoderCache, "step", watched)
    return rows


@pytest.mark.parametrize("search", SEARCHES)
def test_keys_and_values_of_an_image_are_made_once_a_search(captioner, kv_shapes, num_rows, search):
    memory = captioner.encode(images(1)).detach()
    found = SEARCHES[search](captioner, memory, CONFIG)
    assert len(num_rows) >= found.lengths.max() - 1 > 2
    assert kv_shapes == [(7, 4, 32)] * captioner.config.num_decoder_layers


def test_all_that_is_asked_of_an_image_shares_one_encoder_pass(captioner, kv_shapes):
    policy, encoded = policy_of(captioner), []
    watch = captioner.encoder.register_forward_hook(lambda _m, _i, made: encoded.append(len(made)))
    with torch.no_grad():
        memory = policy.encode(images(1))
        found = policy.search(memory, CONFIG)
        policy.greedy(memory, CONFIG)
        policy.sample(memory, CONFIG, torch.Generator())
        policy.score(memory, found.tokens)
    watch.remove()
    assert encoded == [7]
    assert kv_shapes == [(7, 4, 32)] * captioner.config.num_decoder_layers


@pytest.mark.parametrize("rule", ["transformers5", "transformers4"])
def test_a_single_beam_takes_no_step_after_the_longest_caption(captioner, num_rows, rule):
    memory = captioner.encode(images(2, 12)).detach()
    found = beam_search(captioner, memory, DecodingConfig(num_beams=1, max_tokens=14, rule=rule))
    lengths = found.lengths.flatten()
    assert lengths.min() < lengths.max() < 14
    assert num_rows == [int((lengths > taken).sum()) for taken in range(1, int(lengths.max()))]


@pytest.mark.parametrize("rule", ["transformers5", "transformers4"])
def test_an_image_that_is_done_leaves_the_batch(captioner, num_rows, rule):
    memory = captioner.encode(images(2, 12)).detach()
    config = DecodingConfig(num_beams=4, max_tokens=14, rule=rule)
    alone = []
    for image in range(12):
        num_rows.clear()
        beam_search(captioner, memory[image : image + 1], config)
        alone.append(list(num_rows))
    num_rows.clear()
    beam_search(captioner, memory, config)
    assert min(map(len, alone)) < max(map(len, alone))
    padded = [rows + [0] * (13 - len(rows)) for rows in alone]
    expected = [sum(rows) for rows in zip(*padded, strict=True)]
    assert num_rows == [count for count in expected if count]


def test_a_search_stops_as_soon_as_that_of_transformers(captioner, num_rows):
    theirs, steps = as_transformers(captioner), []
    theirs.decoder.register_forward_hook(lambda *_: steps.append(1))
    config = DecodingConfig(num_beams=4, max_tokens=14, eos_at_limit="open")
    stopped = set()
    for image in captioner.encode(images(2, 12)).detach().split(1):
        num_rows.clear()
        steps.clear()
        beam_search(captioner, image, config)
        by_generate(theirs.generate, captioner, image, config)
        assert len(num_rows) == len(steps)
        stopped.add(len(steps))
    assert min(stopped) < 13
