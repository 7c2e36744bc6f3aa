"""Packed products and the output head against plain ones, on weights large enough to be packed."""

import pytest
import torch
from torch.nn import functional as F

from dico.models.packed import (
    GROUP,
    LEAST_VALUES,
    LMHead,
    packed_linear,
    product,
    softmax_in_place,
)

WIDTH, VOCAB_SIZE = 32, 257 * GROUP + 13


@pytest.fixture(scope="module")
def weight() -> torch.Tensor:
    torch.manual_seed(0)
    weight = torch.randn(VOCAB_SIZE, WIDTH)
    assert weight.numel() >= LEAST_VALUES
    return weight


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_best_words_are_those_of_the_full_log_softmax(weight, dtype):
    weight, hidden = weight.to(dtype), torch.randn(6, WIDTH).to(dtype)
    excluded = [VOCAB_SIZE - 1, VOCAB_SIZE - 3, 5]
    logps = F.linear(hidden, weight).float().log_softmax(dim=-1)
    expected = logps.clone()
    expected[:, excluded] = -torch.inf
    values, words = LMHead(weight).best(hidden, 10, excluded)
    top = expected.topk(10, dim=-1)
    torch.testing.assert_close(values, top.values, atol=2e-5, rtol=1e-5)
    if dtype == torch.float32:
        assert torch.equal(words, top.indices)
    one = LMHead(weight).logps_of(hidden, 7)
    torch.testing.assert_close(
        one, logps[:, 7], atol=2e-5 if dtype == torch.float32 else 0.1, rtol=0
    )


def test_logits_are_whole_and_in_order(weight):
    hidden = torch.randn(3, WIDTH)
    expected = F.linear(hidden, weight)
    torch.testing.assert_close(LMHead(weight).logits(hidden), expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_has_the_bits_of_the_packed_product(weight, dtype):
    weight, hidden = weight.to(dtype), torch.randn(70, WIDTH).to(dtype)
    found = product(hidden, weight)
    assert found.dtype == dtype
    assert torch.equal(found.float(), LMHead(weight).logits(hidden))
    expected = F.linear(hidden.float(), weight.float()).to(dtype)
    torch.testing.assert_close(
        found, expected, atol=2e-5 if dtype == torch.float32 else 0.2, rtol=0
    )


def test_huge_logits_do_not_overflow(weight):
    hidden = 300 * torch.randn(4, WIDTH)
    values, _ = LMHead(weight).best(hidden, 4, [])
    expected = F.linear(hidden, weight).log_softmax(-1).topk(4).values
    torch.testing.assert_close(values, expected, atol=1e-2, rtol=1e-5)


@pytest.mark.parametrize("likeliest_known", [True, False])
def test_logits_become_their_softmax(likeliest_known):
    logits = 30 * torch.randn(7, 1000)
    exact = logits.double()
    likeliest = logits.argmax(dim=-1, keepdim=True) if likeliest_known else None
    normalisers = softmax_in_place(logits, likeliest)
    torch.testing.assert_close(normalisers.double(), exact.logsumexp(dim=-1), atol=0, rtol=1e-6)
    torch.testing.assert_close(logits.double(), exact.softmax(dim=-1), atol=1e-7, rtol=1e-4)


def test_excluded_words_keep_their_probability_and_are_never_chosen():
    """The likeliest word is excluded, and there are hardly more words than are asked for."""
    weight, hidden = torch.randn(8, 4), torch.randn(3, 4)
    logps = F.linear(hidden, weight).log_softmax(dim=-1)
    excluded = [int(logps[0].argmax()), 7]
    allowed = [word for word in range(8) if word not in excluded]
    values, words = LMHead(weight).best(hidden, len(allowed), excluded)
    expected, places = logps[:, allowed].sort(dim=-1, descending=True)
    torch.testing.assert_close(values, expected)
    assert torch.equal(words, torch.tensor(allowed)[places])


def test_changed_weights_are_packed_anew():
    weight, hidden = torch.nn.Parameter(torch.randn(1024, 256)), torch.randn(5, 256)
    bias = torch.randn(1024)
    for change in (lambda: None, lambda: weight.mul_(2), lambda: weight.data.add_(1.0)):
        with torch.no_grad():
            change()
            expected = F.linear(hidden, weight, bias)
            found = packed_linear(weight, bias)(hidden)
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-5)
