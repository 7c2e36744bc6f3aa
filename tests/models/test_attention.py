"""Attention that is written out in bfloat16 against torch's kernel on the same numbers in float32."""

import pytest
import torch
from torch.nn import functional as F

from dico.models.attention import attention, use_explicit_matmul

B, H, R, P, E = 2, 3, 5, 5, 16


def masks():
    torch.manual_seed(1)
    allowed = torch.rand(B, 1, R, P) > 0.3
    allowed[..., 0] = True
    return {
        "none": {},
        "causal": {"is_causal": True},
        "bool": {"mask": allowed},
        "added": {"mask": torch.zeros(B, 1, R, P).masked_fill(~allowed, -torch.inf)},
    }


def heads(dtype):
    torch.manual_seed(0)
    merged = torch.randn(B, P, 3, H, E).to(torch.bfloat16).to(dtype).requires_grad_()
    return merged, merged.permute(2, 0, 3, 1, 4).unbind(0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", ["none", "causal", "bool", "added"])
def test_values_and_gradients_are_those_of_torch(dtype, name):
    options = masks()[name]
    if dtype == torch.bfloat16 and name == "added":
        options = {"mask": options["mask"].to(dtype)}
    merged, parts = heads(dtype)
    found = attention(*parts, **options)
    exact, exact_parts = heads(torch.float64)
    mask = masks()[name].get("mask")
    expected = F.scaled_dot_product_attention(
        *exact_parts,
        mask.double() if name == "added" else mask,
        is_causal=name == "causal",
    )
    ways = torch.randn(found.shape, dtype=torch.float64)
    found.backward(ways.to(dtype))
    expected.backward(ways)
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=0)
    torch.testing.assert_close(merged.grad.double(), exact.grad, atol=2 * tolerance, rtol=0)
    assert use_explicit_matmul(found) == (dtype == torch.bfloat16)


def test_dropout_is_torchs_own():
    _, parts = heads(torch.bfloat16)
    torch.manual_seed(3)
    found = attention(*parts, dropout=0.5)
    torch.manual_seed(3)
    assert torch.equal(found, F.scaled_dot_product_attention(*parts, dropout_p=0.5))
