"""Packed products and the output head against plain ones, on weights large enough to be packed."""

import pytest
import torch
from torch.nn import functional as F

from dico.models.packed import GROUP, LEAST_VALUES, Head, packed_linear, product

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
    values, words = Head(weight).best(hidden, 10, excluded)
    top = expected.topk(10, dim=-1)
    torch.testing.assert_close(values, top.values, atol=2e-5, rtol=1e-5)
    if dtype == torch.float32:
        assert torch.equal(words, top.indices)
    one = Head(weight).logps_of(hidden, 7)
    torch.testing.assert_close(
        one, logps[:, 7], atol=2e-5 if dtype == torch.float32 else 0.1, rtol=0
    )


def test_logits_are_whole_and_in_order(weight):
    hidden = torch.randn(3, WIDTH)
    expected = F.linear(hidden, weight)
    torch.testing.assert_close(Head(weight).logits(hidden), expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_has_the_bits_of_the_packed_product(weight, dtype):
    weight, hidden = weight.to(dtype), torch.randn(70, WIDTH).to(dtype)
    found = product(hidden, weight)
    assert found.dtype == dtype
    assert torch.equal(found.float(), Head(weight).logits(hidden))
    expected = F.linear(hidden.float(), weight.float()).to(dtype)
    torch.testing.assert_close(
        found, expected, atol=2e-5 if dtype == torch.float32 else 0.2, rtol=0
    )


def test_huge_logits_do_not_overflow(weight):
    hidden = 300 * torch.randn(4, WIDTH)
    values, _ = Head(weight).best(hidden, 4, [])
    expected = F.linear(hidden, weight).log_softmax(-1).topk(4).values
    torch.testing.assert_close(values, expected, atol=1e-2, rtol=1e-5)


def test_changed_weights_are_packed_anew():
    weight, hidden = torch.nn.Parameter(torch.randn(1024, 256)), torch.randn(5, 256)
    bias = torch.randn(1024)
    for change in (lambda: None, lambda: weight.mul_(2), lambda: weight.data.add_(1.0)):
        with torch.no_grad():
            change()
            expected = F.linear(hidden, weight, bias)
            found = packed_linear(weight, bias)(hidden)
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-5)
