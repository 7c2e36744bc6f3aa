"""Losses against naive double precision, with gradients, and against published special cases."""

import math

import pytest
import torch

from dico.losses import (
    dico_loss,
    kl_estimate,
    loser_weights,
    mean_baseline,
    scst_loss,
    token_logps,
    xe_loss,
)

PAD = 6


def naive_dico(policy, reference, rewards, beta, tau, weighting):
    """Equations 4 to 6 one image at a time, in double precision."""
    total = 0.0
    for f, g, r in zip(policy.double(), reference.double(), rewards.double(), strict=True):
        winner = r.tolist().index(max(r.tolist()))
        losers = [k for k in range(len(r)) if k != winner]
        if weighting == "uniform":
            gamma = [1 / len(losers)] * len(losers)
        elif weighting == "hardest":
            worst = min(losers, key=lambda k: r[k].item())
            gamma = [float(k == worst) for k in losers]
        else:
            weights = [math.exp(tau * (r[winner] - r[k]).item()) for k in losers]
            gamma = [w / sum(weights) for w in weights]
        delta = f[winner] - sum(w * f[k] for w, k in zip(gamma, losers, strict=True))
        delta -= g[winner] - sum(w * g[k] for w, k in zip(gamma, losers, strict=True))
        total = total - torch.log(torch.sigmoid(beta * delta))
    return total / len(rewards)


@pytest.mark.parametrize("num_candidates", [2, 3, 5])
@pytest.mark.parametrize("weighting", ["softmax", "uniform", "hardest"])
@pytest.mark.parametrize(("beta", "tau"), [(0.2, 300.0), (0.05, 20.0), (1.0, 0.0)])
def test_dico_equals_naive_in_value_and_gradient(num_candidates, weighting, beta, tau):
    torch.manual_seed(num_candidates)
    policy = (-20 + 5 * torch.randn(6, num_candidates)).requires_grad_()
    reference = policy.detach() + torch.randn(6, num_candidates)
    rewards = 0.8 + 0.01 * torch.randn(6, num_candidates)
    loss, _ = dico_loss(policy, reference, rewards, beta, tau, weighting)
    exact = policy.detach().double().requires_grad_()
    expected = naive_dico(exact, reference, rewards, beta, tau, weighting)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, policy)
    (expected_gradient,) = torch.autograd.grad(expected, exact)
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=2e-4, atol=1e-8)


def test_dico_on_literal_numbers():
    """Delta = (1.0) - (.25 * 2.0 + .75 * -1.0) - 0 = 1.25 with gamma = (1/4, 3/4)."""
    tau = math.log(3) / 0.1
    policy = torch.tensor([[-9.0, -10.0, -13.0]])
    reference = torch.tensor([[-10.0, -12.0, -12.0]])
    rewards = torch.tensor([[0.9, 0.8, 0.7]])
    loss, metrics = dico_loss(policy, reference, rewards, 0.2, tau)
    assert loss.item() == pytest.approx(math.log1p(math.exp(-0.2 * 1.25)), rel=1e-6)
    assert metrics["margin"].item() == pytest.approx(0.25)
    assert metrics["chosen"].item() == pytest.approx(0.2)
    assert metrics["rejected"].item() == pytest.approx(0.2 * -0.25)
    assert metrics["accuracy"].item() == 1.0
    assert metrics["reward"].item() == pytest.approx(0.8)
    assert metrics["reward_winner"].item() == pytest.approx(0.9)
    entropy = 0.25 * math.log(4) + 0.75 * math.log(4 / 3)
    assert metrics["gamma_entropy"].item() == pytest.approx(entropy, rel=1e-6)


def test_gamma_of_the_worked_example():
    rewards = torch.tensor([[0.84, 0.83, 0.825, 0.82, 0.81], [0.84, 0.838, 0.836, 0.834, 0.832]])
    expected = torch.tensor([[0, 0.002, 0.010, 0.047, 0.940], [0, 0.08, 0.15, 0.27, 0.50]])
    gamma = loser_weights(rewards, 300.0)
    torch.testing.assert_close(gamma[0], expected[0], atol=5e-4, rtol=0)
    torch.testing.assert_close(gamma[1], expected[1], atol=5e-3, rtol=0)
    torch.testing.assert_close(gamma.sum(1), torch.ones(2))


def test_the_first_of_tied_winners_wins_and_never_weighs():
    gamma = loser_weights(torch.tensor([[0.5, 0.9, 0.9, 0.9]]), 300.0)
    assert gamma[0, 1] == 0
    assert gamma[0, 0] == pytest.approx(1.0)
    equal = loser_weights(torch.full((1, 5), 0.7), 300.0)
    torch.testing.assert_close(equal, torch.tensor([[0, 0.25, 0.25, 0.25, 0.25]]))


def test_large_tau_tends_to_the_hardest_loser():
    rewards = torch.tensor([[0.3, 0.9, 0.1, 0.2]])
    expected = loser_weights(rewards, 0.0, "hardest")
    torch.testing.assert_close(loser_weights(rewards, 1e6), expected)
    assert expected.tolist() == [[0.0, 0.0, 1.0, 0.0]]


def test_two_candidates_are_direct_preference_optimisation():
    """Rafailov et al. 2023, equation 7, and its gradient, on numbers worked out by hand."""
    chosen, rejected = torch.tensor([-12.0, -30.0]), torch.tensor([-14.0, -29.0])
    reference_chosen = torch.tensor([-12.5, -30.0])
    reference_rejected = torch.tensor([-13.0, -31.5])
    policy = torch.stack([chosen, rejected], 1).requires_grad_()
    reference = torch.stack([reference_chosen, reference_rejected], 1)
    loss, _ = dico_loss(policy, reference, torch.tensor([[0.9, 0.1]] * 2), 0.1, 300.0)
    # beta * logits: .1 * ((-12 + 12.5) - (-14 + 13)) = .15 and .1 * ((0) - (2.5)) = -.25
    expected = (math.log1p(math.exp(-0.15)) + math.log1p(math.exp(0.25))) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    (gradient,) = torch.autograd.grad(loss, policy)
    first = -0.1 / (1 + math.exp(0.15)) / 2
    second = -0.1 / (1 + math.exp(-0.25)) / 2
    assert gradient.flatten().tolist() == pytest.approx([first, -first, second, -second], rel=1e-5)


def test_two_candidates_equal_trl():
    """Numbers that ``DPOTrainer.dpo_loss`` of trl 0.11.4 gives for these inputs (sigmoid loss)."""
    policy = torch.tensor([[-12.0, -14.0], [-30.0, -29.0], [-21.5, -21.5], [-18.25, -40.0]])
    reference = torch.tensor([[-12.5, -13.0], [-30.0, -31.5], [-20.0, -25.0], [-19.0, -22.0]])
    policy.requires_grad_()
    loss, metrics = dico_loss(policy, reference, torch.tensor([[0.9, 0.8]] * 4), 0.2, 300.0)
    assert loss.item() == pytest.approx(0.7162348628044128, rel=1e-6)
    assert metrics["chosen"].item() == pytest.approx(-0.012500002980232239, rel=1e-5)
    assert metrics["rejected"].item() == pytest.approx(-0.6500000357627869, rel=1e-6)
    (gradient,) = torch.autograd.grad(loss, policy)
    expected = [-0.02127787284553051, -0.0311229657381773, -0.03655293211340904]
    assert gradient[:3, 0].tolist() == pytest.approx(expected, rel=1e-5)
    assert gradient[3, 0].item() == pytest.approx(-0.0011488685850054026, rel=1e-5)
    assert torch.equal(gradient[:, 0], -gradient[:, 1])


def test_no_drift_costs_log_two_exactly():
    logps = -30 * torch.rand(4, 5)
    loss, metrics = dico_loss(logps, logps.clone(), torch.rand(4, 5), 0.2, 300.0)
    assert loss.item() == pytest.approx(math.log(2), rel=1e-7)
    for name in ("margin", "chosen", "rejected", "kl", "accuracy"):
        assert metrics[name].item() == 0.0


TARGETS = torch.tensor([[0, 5, PAD], [1, 2, 5]])
OF_FLOATS = {
    "xe": lambda x: xe_loss(x["logits"], TARGETS, PAD, label_smoothing=0.1),
    "token_logps": lambda x: token_logps(x["logits"], TARGETS),
    "scst": lambda x: scst_loss(x["logps"], x["rewards"], x["baseline"]),
    "scst, no baseline": lambda x: scst_loss(x["logps"], x["rewards"]),
    "mean_baseline": lambda x: mean_baseline(x["rewards"]),
    "loser_weights": lambda x: loser_weights(x["rewards"], 300.0),
    "dico": lambda x: dico_loss(x["logps"], x["reference"], x["rewards"], 0.2, 300.0)[0],
    "dico's metrics": lambda x: torch.stack(
        list(dico_loss(x["logps"], x["reference"], x["rewards"], 0.2, 300.0)[1].values())
    ),
    "kl_estimate": lambda x: kl_estimate(x["rewards"]),
}


@pytest.mark.parametrize("name", OF_FLOATS)
def test_half_precision_inputs_are_computed_in_float32(name):
    """To the bit, so that no sum, difference or exponential is rounded to 8 bits on its way."""
    torch.manual_seed(2)
    half = {
        "logits": torch.randn(2, 3, 7),
        "logps": -20 + 5 * torch.randn(4, 5),
        "reference": -70 + 5 * torch.randn(4, 5),  # apart: close numbers subtract exactly
        "rewards": 0.8 + 0.1 * torch.randn(4, 5),
        "baseline": 0.3 + 0.1 * torch.randn(4, 1),
    }
    half = {key: value.bfloat16() for key, value in half.items()}
    result = OF_FLOATS[name](half)
    assert result.dtype == torch.float32
    assert torch.equal(result, OF_FLOATS[name]({k: v.float() for k, v in half.items()}))


@pytest.mark.parametrize(
    ("rewards", "weighting", "message"),
    [(torch.rand(2, 1), "softmax", "at least 2"), (torch.rand(2, 3), "best", "uniform")],
)
def test_impossible_weights_are_refused(rewards, weighting, message):
    with pytest.raises(ValueError, match=message):
        loser_weights(rewards, 300.0, weighting)


def test_token_logps_are_those_of_the_log_softmax_in_float32():
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 3, 7), torch.tensor([[0, 1, 5], [2, 6, 2]])
    expected = [
        [logits[n, t].double().log_softmax(0)[targets[n, t]].item() for t in range(3)]
        for n in range(2)
    ]
    torch.testing.assert_close(token_logps(logits, targets), torch.tensor(expected))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_xe_is_the_mean_over_real_tokens(label_smoothing):
    torch.manual_seed(1)
    logits = torch.randn(2, 3, 7, requires_grad=True)
    targets = torch.tensor([[0, 5, PAD], [1, 2, 5]])
    logps = logits.double().log_softmax(-1)
    terms = []
    for n, t in [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]:
        hit, mean = logps[n, t, targets[n, t]], logps[n, t].mean()
        terms.append(-(1 - label_smoothing) * hit - label_smoothing * mean)
    expected = sum(terms) / 5
    loss = xe_loss(logits, targets, PAD, label_smoothing)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (expected_gradient,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-6, rtol=1e-5)
    assert gradient[0, 2].abs().max() == 0


def naive_scst(logps, rewards, baseline):
    """Equation 2 one candidate at a time, in double precision; its gradient is worked out."""
    num_images, num_candidates = rewards.shape
    loss, gradient = 0.0, torch.zeros(rewards.shape, dtype=torch.float64)
    for b, (f, r) in enumerate(zip(logps.tolist(), rewards.tolist(), strict=True)):
        against = {"mean": sum(r) / len(r), "greedy": 0.7 + 0.05 * b, "none": 0.0}[baseline]
        for k in range(num_candidates):
            weight = (r[k] - against) / (num_images * num_candidates)
            loss -= weight * f[k]
            gradient[b, k] = -weight
    return loss, gradient


@pytest.mark.parametrize("num_candidates", [1, 2, 5])
@pytest.mark.parametrize("baseline", ["mean", "greedy", "none"])
def test_scst_equals_naive_in_value_and_gradient(num_candidates, baseline):
    torch.manual_seed(num_candidates)
    logps = (-20 + 5 * torch.randn(6, num_candidates)).requires_grad_()
    rewards = (0.8 + 0.1 * torch.randn(6, num_candidates)).requires_grad_()
    given = {
        "mean": mean_baseline(rewards),
        "greedy": 0.7 + 0.05 * torch.arange(6.0)[:, None],
        "none": None,
    }
    loss = scst_loss(logps, rewards, given[baseline])
    expected, expected_gradient = naive_scst(logps, rewards, baseline)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)
    gradient, to_rewards = torch.autograd.grad(loss, [logps, rewards], allow_unused=True)
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=1e-5, atol=1e-8)
    assert to_rewards is None


def test_scst_with_each_baseline():
    logps = torch.tensor([[-2.0, -4.0], [-1.0, -3.0]], requires_grad=True)
    rewards = torch.tensor([[1.0, 0.0], [0.5, 0.7]])
    plain = scst_loss(logps, rewards)
    assert plain.item() == pytest.approx(-(1 * -2 + 0 * -4 + 0.5 * -1 + 0.7 * -3) / 4)
    mean = scst_loss(logps, rewards, mean_baseline(rewards))
    assert mean.item() == pytest.approx(-(0.5 * -2 - 0.5 * -4 - 0.1 * -1 + 0.1 * -3) / 4)
    (gradient,) = torch.autograd.grad(mean, logps)
    torch.testing.assert_close(gradient, -torch.tensor([[0.5, -0.5], [-0.1, 0.1]]) / 4)
    greedy = scst_loss(logps, rewards, torch.tensor([[0.4], [0.9]]))
    assert greedy.item() == pytest.approx(-(0.6 * -2 - 0.4 * -4 - 0.4 * -1 - 0.2 * -3) / 4)


def test_kl_estimate_is_the_divergence_on_average():
    probabilities, reference = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.3, 0.3, 0.4])
    exact = (probabilities * (probabilities / reference).log()).sum()
    draws = torch.multinomial(
        probabilities, 200_000, True, generator=torch.Generator().manual_seed(0)
    )
    estimate = kl_estimate((probabilities / reference).log()[draws])
    assert estimate.item() == pytest.approx(exact.item(), rel=0.02)
    assert kl_estimate(torch.tensor([3.0, -5.0])).item() > 0
