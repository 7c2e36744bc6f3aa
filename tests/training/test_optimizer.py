"""The optimisers are torch's to the bit, and importing the compiler is not part of a training."""

import copy
import subprocess
import sys

import pytest
import torch

from dico.training import optimizer as ours

SETTINGS = {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.01}


def trained(kind, steps=3, state=None, **more):
    """Weights and the optimiser's state after ``steps``."""
    weights = [torch.nn.Parameter(torch.linspace(-1, 1, 7)), torch.nn.Parameter(torch.ones(2, 3))]
    optimizer = kind(weights, **SETTINGS, **more)
    if state is not None:
        optimizer.load_state_dict(state)
    for step in range(steps):
        optimizer.zero_grad()
        loss = ((weights[0] - step) ** 2).sum() + weights[1].exp().sum()
        loss.backward()
        optimizer.step()
    return weights, optimizer.state_dict()


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_they_are_torchs_to_the_bit(name, fused):
    weights, state = trained(getattr(ours, name), fused=fused)
    expected, whole = trained(getattr(torch.optim, name), fused=fused)
    assert all(torch.equal(a, b) for a, b in zip(weights, expected, strict=True))
    assert state["param_groups"] == whole["param_groups"]
    for index, moments in whole["state"].items():
        assert all(torch.equal(value, state["state"][index][k]) for k, value in moments.items())
    again, _ = trained(getattr(ours, name), state=copy.deepcopy(whole), fused=fused)
    theirs, _ = trained(getattr(torch.optim, name), state=copy.deepcopy(whole), fused=fused)
    assert all(torch.equal(a, b) for a, b in zip(again, theirs, strict=True))
    assert not torch.equal(again[0], weights[0])


def test_no_step_imports_the_compiler():
    code = (
        "import sys, torch; from dico.training.optimizer import adam, clip_gradients;"
        "p = [torch.nn.Parameter(torch.ones(3))]; o = adam(p, 0.1);"
        "p[0].sum().backward(); clip_gradients(p, 1.0); o.step(); o.load_state_dict(o.state_dict());"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
