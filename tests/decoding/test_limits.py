"""A captioner's places, for words and for image tokens, against what is asked of it."""

import pytest
import torch

from dico.decoding import DecodingConfig
from dico.errors import ConfigError, DataError
from dico.policy import policy_of
from tests.builders import random_captioner
from tests.policy.families import blip, llava
from tests.policy.families import images as images_for
from tests.policy.families import random_captioner as random_huggingface_captioner

PIXELS = torch.zeros(1, 3, 32, 32)


@pytest.mark.parametrize(
    ("captioner", "images"),
    [
        (random_captioner(num_text_positions=12), torch.zeros(1, 4, 12)),
        (random_huggingface_captioner(blip), PIXELS),
        (random_huggingface_captioner(llava), images_for(llava, 1)),
    ],
)
@torch.no_grad()
def test_captions_may_not_outgrow_the_captioner(captioner, images):
    policy = policy_of(captioner)
    memory, chance = policy.encode(images), torch.Generator()
    searches = (policy.search, policy.greedy, lambda m, c: policy.sample(m, c, chance))
    for search in searches:
        assert search(memory, DecodingConfig(max_tokens=policy.max_tokens)).lengths.min() > 1
        too_long = DecodingConfig(max_tokens=policy.max_tokens + 1)
        told = (
            f"decoding.max_tokens: must be at most {policy.max_tokens}, .*got {too_long.max_tokens}"
        )
        with pytest.raises(ConfigError, match=told):
            search(memory, too_long)


@pytest.mark.parametrize(
    ("captioner", "images"),
    [
        (random_captioner(), torch.randn(2, 4, 12, generator=torch.Generator().manual_seed(0))),
        (random_huggingface_captioner(blip), torch.zeros(2, 3, 32, 32)),
    ],
)
@torch.no_grad()
def test_greedy_and_samples_know_no_groups(captioner, images):
    policy = policy_of(captioner)
    memory = policy.encode(images)
    plain, grouped = (DecodingConfig(max_tokens=8, num_groups=count) for count in (1, 5))
    found, expected = (policy.greedy(memory, config).tokens for config in (grouped, plain))
    assert torch.equal(found, expected)
    found, expected = (
        policy.sample(memory, config, torch.Generator().manual_seed(0)).tokens
        for config in (grouped, plain)
    )
    assert torch.equal(found, expected)


@pytest.mark.parametrize(("num_tokens", "width"), [(10, 12), (4, 11), (4, 13)])
def test_image_tokens_of_another_tower_are_refused(num_tokens, width):
    captioner = random_captioner()
    told = f"at most 9 image tokens of width 12 .*got {num_tokens} of width {width};"
    for see in (captioner.encode, captioner.encode_kv):
        with pytest.raises(DataError, match=told):
            see(torch.zeros(2, num_tokens, width))
    assert captioner.encode(torch.zeros(2, 9, 12)).shape == (2, 9, 32)
