"""Activation checkpointing and bfloat16: the same step with less memory, and what stays float32."""

import dataclasses

import numpy as np
import pytest
import torch

from dico.errors import ConfigError
from dico.policy import policy_of
from dico.training import xe
from dico.training.blocks import blocks, recomputing
from dico.training.configs import FinetuneConfig, XEConfig
from dico.training.distributed import World
from dico.training.finetune import _Step
from tests.training import tiny

XE = XEConfig(batch_size=24, captions_per_image=3, micro_batch_size=12)
DICO = FinetuneConfig(batch_size=4, micro_batch_size=2)
IMAGES = np.arange(4)


def xe_step(world, recompute=False, **changes):
    """Loss, gradients and bytes kept for the backward pass of one step with dropout."""
    policy = policy_of(tiny.captioner(world, dropout=0.2).train())
    config = dataclasses.replace(XE, **changes)
    kept = []

    def note(value):
        kept.append(value.numel() * value.element_size())
        return value

    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda value: value),
        recomputing(policy.module, recompute),
    ):
        loss = xe._backward(policy, tiny.data(world), np.arange(8), config, 1, 0, World())
    return loss, torch.cat([p.grad.flatten() for p in policy.module.parameters()]), sum(kept)


def dico_step(world, recompute=False, reward=None, **changes):
    policy = policy_of(tiny.captioner(world, sharp=4.0).eval())
    reference = policy_of(tiny.captioner(world, sharp=4.0, seed=2).eval())
    config = dataclasses.replace(DICO, **changes)
    reward = reward or tiny.reward(world)
    step = _Step(policy, reference, tiny.data(world), reward, config, tiny.SEARCH, 1, World())
    with recomputing(policy.module, recompute):
        metrics = step(IMAGES, 0)
    return metrics, torch.cat([p.grad.flatten() for p in policy.module.parameters()])


def test_recomputed_activations_change_no_bit_of_cross_entropy(world):
    loss, gradients, kept = xe_step(world)
    again, other, kept_less = xe_step(world, recompute=True)
    assert again == loss
    assert torch.equal(other, gradients)
    assert kept_less < 0.7 * kept


def test_recomputed_activations_change_no_bit_of_dico(world):
    metrics, gradients = dico_step(world)
    again, other = dico_step(world, recompute=True)
    assert again == metrics
    assert torch.equal(other, gradients)


def test_blocks_are_the_layers_and_are_left_as_they_were(world):
    captioner = tiny.captioner(world)
    found = list(blocks(captioner))
    assert found == [*captioner.encoder.layers, *captioner.decoder.layers]
    with recomputing(captioner, True):
        assert all("forward" in vars(block) for block in found)
    assert not any("forward" in vars(block) for block in found)


def test_bfloat16_leaves_losses_and_gradients_in_float32(world):
    loss, gradients, _ = xe_step(world)
    rough, other, _ = xe_step(world, precision="bfloat16")
    assert rough == pytest.approx(loss, rel=1e-2)
    assert rough != loss
    assert other.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(other, gradients, dim=0) > 0.98


def test_bfloat16_leaves_rewards_and_logps_in_float32(world):
    judge, seen = tiny.reward(world), []

    def reward(embeddings, tokens, references=None):
        assert not torch.is_autocast_enabled("cpu")
        scores = judge(embeddings, tokens, references)
        seen.append((embeddings, tokens, scores))
        return scores

    metrics, gradients = dico_step(world, precision="bfloat16", reward=reward)
    assert gradients.dtype == torch.float32
    assert all(scores.dtype == torch.float32 for *_, scores in seen)
    exact = [judge(embeddings, tokens) for embeddings, tokens, _ in seen]
    assert all(torch.equal(e, scores) for e, (*_, scores) in zip(exact, seen, strict=True))
    assert metrics["reward"] == pytest.approx(torch.cat(exact).mean().item(), abs=1e-6)
    # What was computed without gradient, in the search, must not stand in for what has one.
    _, in_float32 = dico_step(world)
    assert ((gradients == 0) & (in_float32 != 0)).float().mean() < 0.01


def test_the_start_model_has_no_drift_in_bfloat16(world):
    policy = policy_of(tiny.captioner(world, sharp=4.0).eval())
    config = dataclasses.replace(DICO, precision="bfloat16")
    reference, reward = policy.reference_model(), tiny.reward(world)
    step = _Step(policy, reference, tiny.data(world), reward, config, tiny.SEARCH, 1, World())
    metrics = step(IMAGES, 0)
    assert (metrics["kl"], metrics["margin"]) == (0, 0)


def test_options_that_exclude_each_other():
    for kind in (XEConfig, FinetuneConfig):
        with pytest.raises(ConfigError, match="compile_blocks: not together with"):
            kind(activation_checkpointing=True, compile_blocks=True)
