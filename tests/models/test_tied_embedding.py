"""The gradient of a table that is both looked up and multiplied by, against torch's own."""

import torch
from torch.nn import functional as F

from dico.models.tied_embedding import tied_embedding

TOKENS = torch.tensor([[3, 3, 0], [5, 1, 3]])


def gradient(table, tied):
    rows, head = tied_embedding(table, TOKENS) if tied else (F.embedding(TOKENS, table), table)
    logits = F.linear(rows.tanh(), head)
    return torch.autograd.grad((logits.square() * torch.arange(7)).sum(), table)[0]


def test_the_gradient_is_that_of_both_uses():
    torch.manual_seed(0)
    table = torch.randn(7, 4, requires_grad=True)
    torch.testing.assert_close(gradient(table, tied=True), gradient(table, tied=False))


def test_one_use_alone_has_its_gradient():
    torch.manual_seed(1)
    table = torch.randn(7, 4, requires_grad=True)
    of_rows = torch.autograd.grad(tied_embedding(table, TOKENS)[0].sum(), table)[0]
    assert torch.equal(of_rows[:, 0], torch.tensor([1.0, 1.0, 0.0, 3.0, 0.0, 1.0, 0.0]))
    of_head = torch.autograd.grad(tied_embedding(table, TOKENS)[1].sum(), table)[0]
    assert torch.equal(of_head, torch.ones(7, 4))


def test_the_same_gradient_comes_a_second_time():
    torch.manual_seed(2)
    table = torch.randn(7, 4, requires_grad=True)
    rows, head = tied_embedding(table, TOKENS)
    loss = F.linear(rows, head).square().sum()
    first, second = (torch.autograd.grad(loss, table, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
