"""Activation checkpointing, compiling and bfloat16: the same step, and what stays float32."""

import dataclasses

import numpy as np
import pytest
import torch

from dico.errors import ConfigError
from dico.policy import policy_of
from dico.training import xe
from dico.training.blocks import blocks, compile_blocks, recomputing
from dico.training.configs import FinetuneConfig, XEConfig
from dico.training.distributed import World
from dico.training.finetune import FinetuneStep
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
    step = FinetuneStep(
        policy, reference, tiny.data(world), reward, config, tiny.SEARCH, 1, World()
    )
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

    def reward(batch):
        assert not torch.is_autocast_enabled("cpu")
        scores = judge(batch)
        seen.append((batch, scores))
        return scores

    metrics, gradients = dico_step(world, precision="bfloat16", reward=reward)
    assert gradients.dtype == torch.float32
    assert all(scores.dtype == torch.float32 for _, scores in seen)
    exact = [judge(batch) for batch, _ in seen]
    assert all(torch.equal(e, scores) for e, (_, scores) in zip(exact, seen, strict=True))
    assert metrics["reward"] == pytest.approx(torch.cat(exact).mean().item(), abs=1e-6)
    # What was computed without gradient, in the search, must not stand in for what has one.
    _, in_float32 = dico_step(world)
    assert ((gradients == 0) & (in_float32 != 0)).float().mean() < 0.01


def test_the_start_model_has_no_drift_in_bfloat16(world):
    policy = policy_of(tiny.captioner(world, sharp=4.0).eval())
    config = dataclasses.replace(DICO, precision="bfloat16")
    reference, reward = policy.reference_model(), tiny.reward(world)
    step = FinetuneStep(
        policy, reference, tiny.data(world), reward, config, tiny.SEARCH, 1, World()
    )
    metrics = step(IMAGES, 0)
    assert (metrics["kl"], metrics["margin"]) == (0, 0)


def both_uses(world, captioner):
    """What both stages make of batches of two sizes, and the gradients of all of it."""
    policy, made = policy_of(captioner), []
    policy.begin_training(1)
    for num_images in (2, 3):
        memory = policy.encode(tiny.data(world).tokens(list(range(num_images))))
        tokens = policy.search(memory.detach(), tiny.SEARCH).tokens
        logps = policy.score(memory, tokens)
        logits, targets = policy.caption_logits(memory, tokens.flatten(0, 1))
        (logps.sum() + logits.logsumexp(-1).sum()).backward()
        made.append((tokens, targets, memory, logps, logits))
    return made, torch.cat([p.grad.flatten() for p in captioner.parameters()])


@pytest.mark.filterwarnings(  # torch's own, of its compiler
    "ignore:.*script_method:DeprecationWarning", r"ignore:The \.grad attribute:UserWarning"
)
def test_compiled_blocks_find_and_score_as_plain_ones(world):
    """By a backend that needs no C++ compiler; what it is given shows that it was asked."""
    plain, compiled = (tiny.captioner(world, sharp=4.0).eval() for _ in range(2))
    compile_blocks(compiled)
    compile_graph, graphs = torch._dynamo.lookup_backend("aot_eager"), []

    def backend(graph, inputs):
        graphs.append(graph)
        return compile_graph(graph, inputs)

    expected, gradients = both_uses(world, plain)
    with torch.compiler.set_stance(force_backend=backend):
        found, compiled_gradients = both_uses(world, compiled)
    assert len(graphs) >= len(list(blocks(compiled)))
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])
        for value, other in zip(ours[2:], theirs[2:], strict=True):
            torch.testing.assert_close(value, other, rtol=1e-5, atol=1e-5)
    assert torch.allclose(
        compiled_gradients, gradients, rtol=1e-4, atol=1e-5 * gradients.abs().max()
    )


def test_options_that_exclude_each_other():
    for kind in (XEConfig, FinetuneConfig):
        with pytest.raises(ConfigError, match="compile_blocks: not together with"):
            kind(activation_checkpointing=True, compile_blocks=True)
