"""Each family beside transformers' own forward pass, and searching beside scoring."""

import pytest
import torch

from dico.decoding import DecodingConfig
from dico.decoding.huggingface import greedy
from tests.policy.families import FAMILIES, images, random_captioner


@pytest.mark.parametrize("make", FAMILIES)
@torch.no_grad()
def test_words_do_not_see_what_follows(make):
    policy, tokens = random_captioner(make), torch.tensor([[1, 7, 8, 9, 10]])
    states = policy.encode(images(make, 1))
    whole = policy.next_logits(states, tokens)
    for length in range(1, 5):
        part = policy.next_logits(states, tokens[:, :length])
        torch.testing.assert_close(part, whole[:, :length], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", FAMILIES)
@torch.no_grad()
def test_the_cached_search_takes_the_likeliest_word_of_the_uncached_pass(make):
    policy = random_captioner(make)
    seen = images(make, 3)
    states = policy.encode(seen)
    found = greedy(policy, states, DecodingConfig(max_tokens=9))
    for image in range(3):
        caption = [policy.bos_id]
        for _ in range(8):
            if caption[-1] == policy.eos_id and len(caption) > 1:
                break
            alone = policy.encode(seen.split(1)[image])
            logits = policy.next_logits(alone, torch.tensor([caption]))
            caption.append(int(logits[0, -1].argmax()) if len(caption) < 8 else policy.eos_id)
        length = int(found.lengths[image, 0])
        assert found.tokens[image, 0, :length].tolist() == caption
