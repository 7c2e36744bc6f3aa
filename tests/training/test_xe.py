"""Cross-entropy pre-training on the very small toy dataset."""

import dataclasses

import numpy as np
import pytest
import torch

from dico.errors import ConfigError, NonFiniteError
from dico.losses import xe_loss
from dico.policy import policy_of
from dico.training import xe
from dico.training.configs import XEConfig
from dico.training.distributed import World
from dico.training.optimizer import clip_gradients
from dico.training.xe import pretrain
from tests.training import tiny

CONFIG = XEConfig(
    num_steps=30,
    batch_size=24,
    captions_per_image=3,
    micro_batch_size=24,
    learning_rate=1e-2,
    validate_every_steps=10,
    num_validation_images=6,
    checkpoint_every_steps=10,
)


def train(world, folder, captioner, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    checkpoints = tiny.checkpoints(folder)
    validator = tiny.validator(world)
    return pretrain(captioner, tiny.data(world), validator, config, 1, checkpoints, World())


def test_captions_of_validation_must_fit_before_anything_is_trained(world, tmp_path):
    validator = tiny.validator(world)
    validator.decoding = dataclasses.replace(validator.decoding, max_tokens=17)
    given = (tiny.data(world), validator, CONFIG, 1, tiny.checkpoints(tmp_path), World())
    with pytest.raises(ConfigError, match=r"decoding\.max_tokens: must be at most 16"):
        pretrain(tiny.captioner(world), *given)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_loss_falls_and_the_best_weights_are_kept(world, tmp_path):
    captioner = tiny.captioner(world, dropout=0.1)
    state = train(world, tmp_path, captioner)
    losses = [row["loss"] for row in state.history.rows]
    assert len(losses) == 30
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    scores = {
        row["step"]: row["validation_cider"]
        for row in state.history.rows
        if "validation_cider" in row
    }
    assert sorted(scores) == [10, 20, 30]
    assert state.best_score == max(scores.values()) == scores[state.best_step]
    assert not captioner.training
    for name, value in captioner.state_dict().items():
        assert torch.equal(value, state.best_weights[name]), name


def test_two_runs_are_equal_to_the_bit_and_another_seed_is_not(world, tmp_path):
    results = []
    for number, seed in enumerate((1, 1, 2)):
        captioner = tiny.captioner(world, dropout=0.1)
        pretrain(
            captioner,
            tiny.data(world),
            tiny.validator(world),
            dataclasses.replace(CONFIG, num_steps=4),
            seed,
            tiny.checkpoints(tmp_path / str(number)),
            World(),
        )
        results.append(torch.nn.utils.parameters_to_vector(captioner.parameters()))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def gradients(world, micro_batch_size, **changes):
    captioner = tiny.captioner(world).train()
    config = dataclasses.replace(CONFIG, micro_batch_size=micro_batch_size, **changes)
    images = np.arange(8)
    policy = policy_of(captioner)
    loss = xe._backward(policy, tiny.data(world), images, config, 1, 0, World())
    return loss, torch.cat([p.grad.flatten() for p in captioner.parameters()])


@pytest.mark.parametrize("micro_batch_size", [3, 6, 15])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_micro_batches_add_up_to_the_big_batch(world, micro_batch_size, label_smoothing):
    loss, whole = gradients(world, 24, label_smoothing=label_smoothing)
    parts_loss, parts = gradients(world, micro_batch_size, label_smoothing=label_smoothing)
    assert parts_loss == pytest.approx(loss, rel=1e-6)
    assert torch.allclose(parts, whole, rtol=1e-4, atol=1e-7)
    assert whole.abs().max() > 1e-3


def test_gradient_is_that_of_the_loss_over_all_tokens(world):
    """One image at a time, each caption by itself, every token of the step with equal weight."""
    captioner = tiny.captioner(world).train()
    data = tiny.data(world)
    texts = data.draw_captions(list(range(8)), 3, np.random.default_rng((1, 0)))
    rows, targets = [], []
    for place, text in enumerate(texts):
        tokens = captioner.tokenizer.encode_batch([text], 17)[:, :16]  # a cut one has no EOS
        memory = captioner.encode(data.tokens([place // 3]))
        rows.append(captioner.logits(memory, tokens[:, :-1])[0])
        targets.append(tokens[0, 1:])
    loss = xe_loss(torch.cat(rows), torch.cat(targets), captioner.pad_id)
    loss.backward()
    naive = torch.cat([p.grad.flatten() for p in captioner.parameters()])
    fast_loss, fast = gradients(world, 24)
    assert fast_loss == pytest.approx(loss.item(), rel=1e-6)
    assert torch.allclose(fast, naive, rtol=1e-4, atol=1e-7)


def test_no_update_after_a_loss_that_is_not_finite(world, tmp_path):
    captioner, data = tiny.captioner(world), tiny.data(world)
    before = {name: value.clone() for name, value in captioner.state_dict().items()}
    data.images = lambda indices: torch.full_like(data.tokens(indices), torch.nan)
    with pytest.raises(NonFiniteError, match=r"step 0: loss nan.*not updated.*2 times already"):
        pretrain(
            captioner, data, tiny.validator(world), CONFIG, 1, tiny.checkpoints(tmp_path), World()
        )
    for name, value in captioner.state_dict().items():
        assert torch.equal(value, before[name]), name
    saved = (tmp_path / "checkpoints" / "run").iterdir()
    assert [path.name for path in saved] == ["step-00000000"]


@pytest.mark.parametrize(("max_norm", "expected"), [(0.0, [3.0, 4.0]), (1.0, [0.6, 0.8])])
def test_gradients_are_scaled_to_the_norm(max_norm, expected):
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3.0, 4.0])
    assert clip_gradients([parameter], max_norm) == 5.0
    assert parameter.grad.tolist() == pytest.approx(expected, rel=1e-5)
