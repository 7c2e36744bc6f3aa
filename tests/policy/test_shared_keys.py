"""Copies of prompts' keys: none outlives a layer, and gradients are those of plain attention."""

import weakref

import pytest
import torch
from torch.nn import functional as F

from dico.models.huggingface import wrap
from dico.models.huggingface.shared_keys import Copies
from tests.policy.tiny_types import build, captions, images

B, K, H, P, T, D = 2, 3, 2, 5, 4, 8


def attend(queries, prompts, words, repeats):
    """Attention of queries (N, H * repeats, T, D), and references to the copies that it read."""
    copies = Copies()
    with copies.left_out():
        joined = [copies.make(x, w) for x, w in zip(prompts, words, strict=True)]
        if repeats > 1:
            joined = [x.repeat_interleave(repeats, dim=1) for x in joined]
        found = F.scaled_dot_product_attention(queries, *joined)
    return found, [weakref.ref(x) for x in joined]


@pytest.mark.parametrize("repeats", [1, 2])
def test_gradients_are_those_of_plain_attention_and_no_copy_is_kept(repeats):
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.randn(shape, generator=generator, requires_grad=True)

    queries = drawn(B * K, H * repeats, T, D)
    prompts = [drawn(B, H, P, D) for _ in range(2)]
    words = [drawn(B * K, H, T, D) for _ in range(2)]
    found, copies = attend(queries, prompts, words, repeats)
    assert all(copy() is None for copy in copies)

    rows = torch.arange(B).repeat_interleave(K)
    plain = [torch.cat([x[rows], w], dim=-2) for x, w in zip(prompts, words, strict=True)]
    plain = [x.repeat_interleave(repeats, dim=1) for x in plain]
    expected = F.scaled_dot_product_attention(queries, *plain)
    assert torch.equal(found, expected)
    leaves, weights = [queries, *prompts, *words], torch.randn(found.shape, generator=generator)
    ours = torch.autograd.grad((found * weights).sum(), leaves)
    theirs = torch.autograd.grad((expected * weights).sum(), leaves)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_the_head_is_called_once_over_real_tokens_alone():
    model = build("llava_next")
    captioner, batch = wrap(model), images(model, 1)
    tokens = captions(captioner.pad_id)
    memory = captioner.read_prompts(captioner.encode(batch))
    seen = []
    model.get_output_embeddings().register_forward_hook(lambda _m, _x, y: seen.append(y.shape))
    captioner.score_candidates(memory, tokens)
    assert [shape[:-1].numel() for shape in seen] == [
        int((tokens[..., 1:] != captioner.pad_id).sum())
    ]
