"""Each family beside transformers' own forward pass, and searching beside scoring."""

import pytest
import torch

from dico.decoding import DecodingConfig
from dico.decoding.huggingface import greedy
from dico.models.huggingface import wrap
from tests.policy.families import FAMILIES, IDS, PROMPTED, llava

SIZE = 40
IMAGE = SIZE - 1
PROMPT = [1, IMAGE, IMAGE, IMAGE, IMAGE, 5, 6]  # 32 pixels in patches of 16


def captioner(make):
    torch.manual_seed(0)
    model = make(SIZE, IDS).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.1 * torch.randn_like(value))
    return wrap(model, PROMPT if make in PROMPTED else None)


@pytest.mark.parametrize("make", PROMPTED)
@torch.no_grad()
def test_logits_are_those_of_the_models_own_pass_over_pixels(make):
    policy, pixels = captioner(make), torch.randn(2, 3, 32, 32)
    tokens = torch.tensor([[1, 7, 8, 9], [1, 10, 7, 12]])
    ours = policy.next_logits(policy.encode(pixels), tokens)
    ids = torch.cat([torch.tensor([PROMPT, PROMPT]), tokens[:, 1:]], dim=1)
    kinds = torch.ones_like(ids)
    kinds[:, : len(PROMPT)] = 0
    options = {} if make is llava else {"token_type_ids": kinds}
    theirs = policy.model(input_ids=ids, pixel_values=pixels, **options).logits
    torch.testing.assert_close(ours, theirs[:, len(PROMPT) - 1 :])


@pytest.mark.parametrize("make", FAMILIES)
@torch.no_grad()
def test_words_do_not_see_what_follows(make):
    policy, tokens = captioner(make), torch.tensor([[1, 7, 8, 9, 10]])
    states = policy.encode(torch.randn(1, 3, 32, 32))
    whole = policy.next_logits(states, tokens)
    for length in range(1, 5):
        part = policy.next_logits(states, tokens[:, :length])
        torch.testing.assert_close(part, whole[:, :length], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", FAMILIES)
@torch.no_grad()
def test_the_cached_search_takes_the_likeliest_word_of_the_uncached_pass(make):
    policy = captioner(make)
    states = policy.encode(torch.randn(3, 3, 32, 32))
    found = greedy(policy, states, DecodingConfig(max_tokens=9))
    for image in range(3):
        caption = [policy.bos_id]
        while caption[-1] != policy.eos_id or len(caption) == 1:
            logits = policy.next_logits(states[image : image + 1], torch.tensor([caption]))
            caption.append(int(logits[0, -1].argmax()) if len(caption) < 8 else policy.eos_id)
        length = int(found.lengths[image, 0])
        assert found.tokens[image, 0, :length].tolist() == caption
