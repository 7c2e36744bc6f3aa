"""Log-probabilities of chosen words and their gradients against torch's log_softmax."""

import pytest
import torch
from torch.nn import functional as F

from dico.models import fused_logps as module
from dico.models.fused_logps import fused_token_logps

VOCAB_SIZE = 16461
STATES = torch.tensor([0, 0, 2, 1, 2, 2])
WORDS = torch.tensor([5, 5, 8192, VOCAB_SIZE - 1, 0, 16387])


@pytest.mark.parametrize("most", [1, 2 * VOCAB_SIZE, 1 << 26])
@pytest.mark.parametrize("vocab_size", [VOCAB_SIZE, 60])
def test_values_and_gradients_are_those_of_the_full_log_softmax(monkeypatch, vocab_size, most):
    monkeypatch.setitem(module.MOST_VALUES, "cpu", most)
    torch.manual_seed(0)
    weight = (0.3 * torch.randn(vocab_size, 32)).requires_grad_()
    hidden = torch.randn(3, 32, requires_grad=True)
    words, scale = WORDS % vocab_size, torch.randn(len(WORDS))
    found = fused_token_logps(hidden, weight, STATES, words)
    wide = [value.detach().double().requires_grad_() for value in (hidden, weight)]
    expected = F.linear(*wide).log_softmax(dim=-1)[STATES, words]
    torch.testing.assert_close(found.double(), expected, atol=3e-6, rtol=1e-6)
    ours = torch.autograd.grad((scale * found).sum(), [hidden, weight])
    theirs = torch.autograd.grad((scale * expected).sum(), wide)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.double(), other, atol=1e-6, rtol=1e-5)


def test_a_second_backward_pass_gives_the_same_gradients():
    torch.manual_seed(1)
    weight, hidden = torch.randn(60, 32, requires_grad=True), torch.randn(3, 32)
    total = fused_token_logps(hidden, weight, STATES, WORDS % 60).sum()
    first, second = (torch.autograd.grad(total, weight, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_no_graph_and_a_graph_give_the_same_bits():
    torch.manual_seed(2)
    weight, hidden = torch.randn(VOCAB_SIZE, 32, requires_grad=True), torch.randn(3, 32)
    with_graph = fused_token_logps(hidden, weight, STATES, WORDS)
    with torch.no_grad():
        assert torch.equal(fused_token_logps(hidden, weight, STATES, WORDS), with_graph)
    assert torch.equal(
        fused_token_logps(hidden, weight.detach().clone(), STATES, WORDS), with_graph
    )


def test_huge_logits_do_not_overflow():
    torch.manual_seed(3)
    weight, hidden = 30 * torch.randn(60, 32, requires_grad=True), 10 * torch.randn(3, 32)
    found = fused_token_logps(hidden, weight, STATES, WORDS % 60)
    expected = F.linear(hidden, weight).log_softmax(dim=-1)[STATES, WORDS % 60]
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-5)
    assert torch.autograd.grad(found.sum(), weight)[0].isfinite().all()


@pytest.mark.parametrize("most", [1, 1 << 26])
def test_autocast_multiplies_in_half_precision_and_sums_in_float32(monkeypatch, most):
    monkeypatch.setitem(module.MOST_VALUES, "cpu", most)
    monkeypatch.setattr(module, "MOST_ROWS", 7)
    torch.manual_seed(4)
    weight, hidden = torch.randn(60, 32, requires_grad=True), torch.randn(3, 32)
    with torch.autocast("cpu", torch.bfloat16):
        found = fused_token_logps(hidden, weight, STATES, WORDS % 60)
    rounded = [value.detach().bfloat16().float() for value in (hidden, weight)]
    expected = F.linear(*rounded).bfloat16().float()
    assert found.dtype == torch.float32
    chosen = (rounded[0][STATES] * rounded[1][WORDS % 60]).sum(dim=1)
    expected = chosen - expected.logsumexp(dim=-1)[STATES]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    found.sum().backward()
    assert weight.grad.dtype == torch.float32
    wide = weight.detach().double().requires_grad_()
    exact = F.linear(hidden.double(), wide).log_softmax(dim=-1)[STATES, WORDS % 60]
    exact.sum().backward()
    torch.testing.assert_close(weight.grad.double(), wide.grad, atol=0.1, rtol=0.02)
