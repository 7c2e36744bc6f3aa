"""Each family beside transformers' own forward pass, and searching beside scoring."""

import pytest
import torch

from dico.decoding import DecodingConfig
from dico.decoding.huggingface import greedy
from tests.policy.families import FAMILIES, PROMPT_IDS, PROMPTED, llava, random_captioner


@pytest.mark.parametrize("make", PROMPTED)
@torch.no_grad()
def test_logits_are_those_of_the_models_own_pass_over_pixels(make):
    policy, pixels = random_captioner(make), torch.randn(2, 3, 32, 32)
    tokens = torch.tensor([[1, 7, 8, 9], [1, 10, 7, 12]])
    ours = policy.next_logits(policy.encode(pixels), tokens)
    ids = torch.cat([torch.tensor([PROMPT_IDS, PROMPT_IDS]), tokens[:, 1:]], dim=1)
    kinds = torch.ones_like(ids)
    kinds[:, : len(PROMPT_IDS)] = 0
    options = {} if make is llava else {"token_type_ids": kinds}
    theirs = policy.model(input_ids=ids, pixel_values=pixels, **options).logits
    torch.testing.assert_close(ours, theirs[:, len(PROMPT_IDS) - 1 :])


@pytest.mark.parametrize("make", FAMILIES)
@torch.no_grad()
def test_words_do_not_see_what_follows(make):
    policy, tokens = random_captioner(make), torch.tensor([[1, 7, 8, 9, 10]])
    states = policy.encode(torch.randn(1, 3, 32, 32))
    whole = policy.next_logits(states, tokens)
    for length in range(1, 5):
        part = policy.next_logits(states, tokens[:, :length])
        torch.testing.assert_close(part, whole[:, :length], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", FAMILIES)
@torch.no_grad()
def test_the_cached_search_takes_the_likeliest_word_of_the_uncached_pass(make):
    policy = random_captioner(make)
    states = policy.encode(torch.randn(3, 3, 32, 32))
    found = greedy(policy, states, DecodingConfig(max_tokens=9))
    for image in range(3):
        caption = [policy.bos_id]
        while caption[-1] != policy.eos_id or len(caption) == 1:
            logits = policy.next_logits(states[image : image + 1], torch.tensor([caption]))
            caption.append(int(logits[0, -1].argmax()) if len(caption) < 8 else policy.eos_id)
        length = int(found.lengths[image, 0])
        assert found.tokens[image, 0, :length].tolist() == caption
