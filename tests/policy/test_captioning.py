"""Captions of many images: batches change nothing, and each image gets its own."""

import pytest
import torch

from dico.decoding import beam_search
from dico.errors import DataError
from dico.images.load import load_image
from dico.models.captioner import Captioner
from dico.models.evaluator import Evaluator
from dico.policy import policy_of
from dico.policy.captioning import caption_features, caption_images, caption_stored
from tests.training import tiny


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return tiny.make_world(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def captioner(world):
    """Random weights that listen to the image, so that captions differ."""
    made = tiny.captioner(world, sharp=4.0).eval()
    with torch.no_grad():
        made.encoder.project.weight.mul_(20)
        for layer in made.decoder.blocks():
            layer.cross_out.weight.mul_(200)
    return made


def naive(world, captioner, records):
    """One image at a time, from its pixels: the best beam, decoded."""
    tower = Evaluator.load(world / "evaluator", "clip")
    captions = []
    for record in records:
        pixels = tower.preprocess(load_image(record.uri))[None]
        memory = captioner.encode(tower.image_tokens(pixels)[0].float())
        found = beam_search(captioner, memory, tiny.SEARCH)
        text = captioner.tokenizer.decode(found.tokens[0, 0].tolist())
        captions.append((text, found.logps[0, 0].item()))
    return captions


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_stored_images_in_any_batch(world, captioner, batch_size):
    records = tiny.records(world, "test")
    keys = [record.sha256 for record in records]
    found = list(caption_stored(captioner, tiny.features(world), keys, tiny.SEARCH, batch_size))
    expected = naive(world, captioner, records)
    assert [caption.text for caption in found] == [text for text, _ in expected]
    assert [caption.logp for caption in found] == pytest.approx(
        [logp for _, logp in expected], rel=1e-4
    )
    assert len({caption.text for caption in found}) > 1


@pytest.mark.parametrize("batch_size", [2, 64])
def test_image_files_in_any_batch(world, captioner, batch_size):
    records = tiny.records(world, "test")
    tower = Evaluator.load(world / "evaluator", "clip")
    uris = [record.uri for record in records]
    found = list(caption_images(captioner, tower, uris, tiny.SEARCH, batch_size))
    assert [caption.text for caption in found] == [t for t, _ in naive(world, captioner, records)]


def test_order_follows_the_keys(world, captioner):
    keys = [record.sha256 for record in tiny.records(world, "test")]
    ahead = list(caption_stored(captioner, tiny.features(world), keys, tiny.SEARCH))
    back = list(caption_stored(captioner, tiny.features(world), keys[::-1], tiny.SEARCH))
    assert [caption.text for caption in back] == [caption.text for caption in ahead][::-1]


def test_no_images_give_no_captions(world, captioner):
    assert list(caption_stored(captioner, tiny.features(world), [], tiny.SEARCH)) == []


def test_captions_carry_no_gradient(world, captioner):
    features = torch.from_numpy(
        tiny.features(world).read([tiny.records(world, "test")[0].sha256], "tokens")
    )
    caption_features(captioner, features, tiny.SEARCH)
    assert all(parameter.grad is None for parameter in captioner.parameters())


def test_a_captioner_without_a_vocabulary_is_refused(captioner):
    with pytest.raises(DataError, match="no tokenizer/ folder"):
        _ = policy_of(Captioner(captioner.config)).tokenizer
