"""DiCO and SCST on the very small toy dataset."""

import dataclasses

import pytest
import torch

from dico.decoding import DecodingConfig, beam_search, diverse_beam_search
from dico.errors import ConfigError, NonFiniteError
from dico.losses import dico_loss, scst_loss, winner_nll
from dico.policy import policy_of
from dico.training.configs import FinetuneConfig
from dico.training.distributed import World
from dico.training.finetune import FinetuneStep, finetune, less_true, merit
from dico.training.order import DataOrder
from tests.oracles import score_captions
from tests.training import tiny

CONFIG = FinetuneConfig(
    num_steps=24,
    batch_size=8,
    micro_batch_size=8,
    learning_rate=3e-3,
    validate_every_steps=12,
    num_validation_images=6,
    checkpoint_every_steps=12,
)
KEYS = {
    *("step", "seconds", "loss", "accuracy", "margin", "chosen", "rejected", "kl"),
    *("gamma_entropy", "reward", "reward_winner", "reward_spread", "num_words", "rep_2"),
    *("bad_endings", "gradient_norm"),
}


def run(world, folder, captioner, keep_best=True, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    return finetune(
        captioner,
        tiny.data(world),
        tiny.reward(world),
        tiny.validator(world, judged=True),
        config,
        tiny.SEARCH,
        1,
        tiny.checkpoints(folder),
        World(),
        keep_best=keep_best,
    )


def step_of(world, captioner, reference_model=None, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    reference_model = reference_model or tiny.captioner(world, sharp=4.0).eval()
    reward = tiny.reward(world)
    data = tiny.data(world)
    policy, reference = policy_of(captioner), policy_of(reference_model)
    return FinetuneStep(policy, reference, data, reward, config, tiny.SEARCH, 1, World())


def start(world, seed=1):
    return tiny.captioner(world, dropout=0.1, sharp=4.0, seed=seed).eval()


def test_reward_rises_and_the_first_step_has_no_drift(world, tmp_path):
    captioner = start(world)
    state = run(world, tmp_path, captioner)
    rows = [row for row in state.history.rows if "loss" in row]
    assert [row["step"] for row in rows] == list(range(1, 25))
    first = rows[0]
    assert (first["kl"], first["margin"], first["chosen"], first["rejected"]) == (0, 0, 0, 0)
    assert first["loss"] == pytest.approx(0.6931472, abs=1e-6)
    assert set(first) == KEYS
    rewards = [row["reward"] for row in rows]
    assert sum(rewards[-4:]) / 4 > sum(rewards[:4]) / 4 + 0.02
    assert rows[-1]["kl"] > 0
    validated = {
        r["step"]: r["validation_ref_pac_score"]
        for r in state.history.rows
        if "validation_ref_pac_score" in r
    }
    assert sorted(validated) == [0, 12, 24]
    assert state.best_score == max(validated.values()) == validated[state.best_step]
    for name, value in captioner.state_dict().items():
        assert torch.equal(value, state.best_weights[name]), name


def gradients(captioner):
    return torch.cat([p.grad.flatten() for p in captioner.parameters()])


@pytest.mark.parametrize("micro_batch_size", [1, 3, 4])
@pytest.mark.parametrize("method", ["dico", "scst"])
def test_micro_batches_add_up_to_the_big_batch(world, micro_batch_size, method):
    """The policy has drifted from its reference, so that every term has a gradient."""
    images = torch.arange(8).numpy()
    policy = start(world, seed=2)
    whole_metrics = step_of(world, policy, method=method)(images, 0)
    whole = gradients(policy)
    small = step_of(world, policy, method=method, micro_batch_size=micro_batch_size)
    metrics = small(images, 0)
    assert metrics == pytest.approx(whole_metrics, rel=1e-4, abs=1e-6)
    assert torch.allclose(gradients(policy), whole, rtol=1e-3, atol=1e-5 * whole.abs().max())
    assert whole.abs().max() > 1e-4


def test_gradient_is_that_of_equation_6_over_single_captions(world):
    """Each candidate scored by itself, without prefix trees."""
    policy, reference_model = start(world, seed=2), start(world)
    data, images = tiny.data(world), torch.arange(8)
    metrics = step_of(world, policy)(images.numpy(), 0)
    fast = gradients(policy)
    policy.zero_grad()
    memory = policy.encode(data.tokens(images.tolist()))
    tokens = beam_search(policy, memory.detach(), tiny.SEARCH).tokens
    rewards = tiny.reward(world)(tiny.reward_batch(data, images.tolist(), tokens))
    with torch.no_grad():
        other = reference_model.encode(data.tokens(images.tolist()))
        reference_logps = score_captions(reference_model, other, tokens)
    loss, naive = dico_loss(
        score_captions(policy, memory, tokens), reference_logps, rewards, 0.2, 300.0
    )
    loss.backward()
    assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert metrics["reward_winner"] == pytest.approx(naive["reward_winner"].item(), rel=1e-5)
    assert torch.allclose(fast, gradients(policy), rtol=1e-3, atol=1e-5 * fast.abs().max())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_candidates_from_groups_of_beams_are_compared_as_others(world, monkeypatch, precision):
    """Loss and gradient of a step are those of the same candidates, found beforehand."""
    decoding = dataclasses.replace(tiny.SEARCH, num_groups=3)
    policy, images = start(world, seed=2), torch.arange(8).numpy()
    step = dataclasses.replace(step_of(world, policy, precision=precision), decoding=decoding)
    metrics = step(images, 0)
    found = gradients(policy)
    with step.world.autocast(precision):
        memory = policy.encode_kv(tiny.data(world).tokens(images.tolist())).detach()
        tokens = diverse_beam_search(policy, memory, decoding).tokens
        plain = beam_search(policy, memory, decoding).tokens
    assert tokens.tolist() != plain.tolist()
    assert all(len(set(map(tuple, captions))) == 3 for captions in tokens.tolist())
    monkeypatch.setattr(FinetuneStep, "_candidates", lambda *_: tokens)
    assert metrics == step(images, 0)
    assert torch.equal(found, gradients(policy))
    assert found.abs().max() > 1e-4


@pytest.mark.parametrize("num_kept", [24, 10])
def test_steps_with_what_the_reference_model_made_kept_equal_steps_without(world, num_kept):
    """Two epochs of steps of a policy that moves; the second looks up what the first encoded."""
    captioner, reference_model, seen = start(world, seed=2), start(world), []
    num_bytes = reference_model.encode_kv(tiny.data(world).tokens([0])).nbytes
    reference_model.encoder.register_forward_hook(lambda module, given, made: seen.append(made))
    plain = step_of(world, captioner, start(world))
    gigabytes = (num_kept + 0.5) * num_bytes / 1e9
    kept = step_of(world, captioner, reference_model, keep_reference_gigabytes=gigabytes)
    order = DataOrder(24, 8, seed=1)
    optimizer = torch.optim.SGD(captioner.parameters(), lr=0.1)
    for step in range(6):
        images = order.batch(step)
        expected, whole = plain(images, step), gradients(captioner)
        assert kept(images, step) == pytest.approx(expected, rel=1e-5, abs=1e-6)
        found = gradients(captioner)
        assert torch.allclose(found, whole, rtol=1e-4, atol=1e-5 * whole.abs().max())
        assert whole.abs().max() > 1e-4
        optimizer.step()
    assert len(seen) == 24 + 24 - num_kept


@pytest.mark.parametrize("candidates", ["beam", "sample"])
@pytest.mark.parametrize("baseline", ["mean", "greedy", "none"])
def test_scst_runs_in_every_form(world, tmp_path, candidates, baseline):
    captioner = start(world)
    options = {"method": "scst", "candidates": candidates, "baseline": baseline}
    state = run(world, tmp_path, captioner, num_steps=2, **options)
    rows = [row for row in state.history.rows if "loss" in row]
    assert rows[0]["kl"] == 0
    assert set(rows[0]) == KEYS
    assert rows[0]["gradient_norm"] > 1e-4
    assert rows[1]["kl"] > 0


def test_scst_with_a_mean_baseline_is_equation_2(world):
    policy = start(world, seed=2)
    data, images = tiny.data(world), list(range(8))
    loss = step_of(world, policy, method="scst")(torch.arange(8).numpy(), 0)["loss"]
    memory = policy.encode(data.tokens(images))
    tokens = beam_search(policy, memory.detach(), tiny.SEARCH).tokens
    rewards = tiny.reward(world)(tiny.reward_batch(data, images, tokens))
    logps = score_captions(policy, memory, tokens)
    naive = sum(
        -(rewards[i, k] - rewards[i].mean()) * logps[i, k] for i in range(8) for k in range(3)
    )
    assert loss == pytest.approx(naive.item() / 24, rel=1e-4, abs=1e-6)
    assert scst_loss(logps, rewards).item() != pytest.approx(loss, rel=1e-3)


def test_samples_differ_by_step_and_repeat_by_seed(world):
    step = step_of(world, start(world), candidates="sample")
    memory = step.policy.encode(tiny.data(world).tokens([0, 1])).detach()
    draws = [(3, 0), (3, 0), (4, 0), (3, 1)]
    first, again, *others = (step._candidates(memory, at, part) for at, part in draws)
    assert torch.equal(first, again)
    for other in others:
        assert first.shape != other.shape or not torch.equal(first, other)


def test_candidates_may_come_from_groups_that_captions_are_not_made_by(world):
    policy = start(world, seed=2)
    memory = policy.encode_kv(tiny.data(world).tokens([0, 1])).detach()
    step = step_of(world, policy, num_candidates=4, num_groups=2)
    in_groups = dataclasses.replace(tiny.SEARCH, num_beams=4, num_groups=2)
    expected = diverse_beam_search(policy, memory, in_groups).tokens
    assert torch.equal(step._candidates(memory, 0, 0), expected)
    assert tiny.SEARCH.num_groups == 1


def test_as_many_samples_as_asked_and_cold_ones_are_the_likeliest(world):
    step = step_of(world, start(world), candidates="sample", num_candidates=7, temperature=1e-4)
    memory = step.policy.encode(tiny.data(world).tokens([0, 1])).detach()
    tokens = step._candidates(memory, 0, 0)
    assert tokens.shape[:2] == (2, 7)
    likeliest = step.policy.greedy(memory, tiny.SEARCH).tokens
    assert torch.equal(tokens, likeliest.expand_as(tokens))
    with pytest.raises(ConfigError, match=r"num_candidates: .* at least 2 candidates, got 1"):
        FinetuneConfig(candidates="sample", num_candidates=1)


def test_keeping_the_last_weights(world, tmp_path):
    captioner = start(world)
    state = run(world, tmp_path, captioner, keep_best=False, num_steps=3)
    state.keep()
    assert state.best_step == 3


def test_no_update_after_a_loss_that_is_not_finite(world, tmp_path):
    captioner = start(world)

    def broken(batch):
        return torch.full(batch.tokens.shape[:2], torch.nan)

    before = {name: value.clone() for name, value in captioner.state_dict().items()}
    with pytest.raises(NonFiniteError, match=r"step 0: .*not updated"):
        finetune(
            captioner,
            tiny.data(world),
            broken,
            tiny.validator(world, judged=True),
            CONFIG,
            tiny.SEARCH,
            1,
            tiny.checkpoints(tmp_path),
            World(),
        )
    for name, value in captioner.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_one_candidate_is_refused(world, tmp_path):
    with pytest.raises(ConfigError, match=r"decoding\.num_beams: .* at least 2 candidates, got 1"):
        finetune(
            start(world),
            tiny.data(world),
            tiny.reward(world),
            tiny.validator(world, judged=True),
            CONFIG,
            DecodingConfig(num_beams=1, max_tokens=8),
            1,
            tiny.checkpoints(tmp_path),
            World(),
        )


def test_the_anchor_is_the_winners_negative_log_probability_per_token():
    logps = torch.tensor([[-6.0, -2.0], [-3.0, -8.0]], requires_grad=True)
    rewards = torch.tensor([[0.9, 0.1], [0.2, 0.7]])
    lengths = torch.tensor([[3, 2], [1, 4]])
    loss = winner_nll(logps, rewards, lengths)
    assert loss.item() == pytest.approx((6.0 / 3 + 8.0 / 4) / 2)
    loss.backward()
    assert torch.allclose(logps.grad, torch.tensor([[-1 / 6, 0.0], [0.0, -1 / 8]]))


def test_the_anchor_is_added_to_the_loss(world):
    captioner = start(world)
    plain, anchored = (step_of(world, captioner, anchor=anchor) for anchor in (0.0, 0.5))
    order = DataOrder(24, 8, 1)
    one, two = (step(order.batch(0), 0)["loss"] for step in (plain, anchored))
    assert two > one + 0.01


def test_weights_are_picked_by_the_score_that_is_asked_for(world, tmp_path):
    for best_by in ("ref_pac_score", "cider"):
        state = run(world, tmp_path / best_by, start(world), best_by=best_by)
        scores = [row for row in state.history.rows if "validation_cider" in row]
        best = max(scores, key=lambda row: row[f"validation_{best_by}"])
        assert state.best_step == best["step"]


def test_merit_adds_cider_and_facts_as_ratios_to_the_start():
    first = {"cider": 1.0, "facts_precision": 0.8, "facts_recall": 0.4}
    later = {"cider": 1.1, "facts_precision": 0.8, "facts_recall": 0.8}
    first, later = ({f"validation_{k}": v for k, v in row.items()} for row in (first, later))
    assert merit(first, first, "cider_and_facts") == pytest.approx(2.0)
    assert merit(first, later, "cider_and_facts") == pytest.approx(1.1 + 0.8 / (0.64 / 1.2))
    assert merit(first, later, "cider") == 1.1


def test_captions_that_are_less_true_are_told_where_facts_are_known():
    first = {"validation_facts_precision": 0.8, "validation_wholly_true": 0.5}
    assert not less_true(first, first)
    assert less_true(first, first | {"validation_facts_precision": 0.79})
    assert not less_true(first, first | {"validation_wholly_true": 0.48})
    assert less_true(first, first | {"validation_wholly_true": 0.46})
    assert not less_true({}, {})


@pytest.mark.parametrize(("schedule", "share"), [("constant", 1.0), ("cosine", 0.25)])
def test_the_rate_follows_the_schedule(world, tmp_path, schedule, share):
    """The third of 3 steps has (1 + cos(2 pi / 3)) / 2 of the peak."""
    state = run(world, tmp_path, start(world), num_steps=3, schedule=schedule)
    (group,) = state.optimizer.param_groups
    assert group["lr"] == pytest.approx(share * CONFIG.learning_rate)


def test_a_run_that_gets_no_better_ends_early(world, tmp_path):
    changes = {"validate_every_steps": 2, "best_by": "cider", "learning_rate": 1e-12}
    state = run(world, tmp_path / "a", start(world), patience=2, **changes)
    assert (state.step, state.best_step) == (4, 0)
    state = run(world, tmp_path / "b", start(world), patience=0, **changes)
    assert state.step == CONFIG.num_steps
