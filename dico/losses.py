"""Training objectives of captioners, as pure float32 functions.

DiCO: Moratelli et al. 2024 (arXiv 2408.14547), equations 1 to 6; SCST: Rennie et al. 2017
(arXiv 1612.00563). Scores and log-probabilities are float32 whatever the model's dtype, padding
never counts, and a caption's log-probability is a sum over its tokens, EOS included, not divided by
its length.

B images, K candidates per image, N captions, T tokens, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Weighting = Literal["softmax", "uniform", "hardest"]
Metrics = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class ScoredCandidates:
    """K candidates of each of B images, as a loss sees them; what is not its to train has no gradient."""

    policy_logps: Tensor
    """(B, K) log-probabilities by the model in training, with gradient."""
    reference_logps: Tensor
    """(B, K) by the frozen model that it started from."""
    rewards: Tensor
    """(B, K), higher is better."""
    lengths: Tensor
    """(B, K) tokens of each candidate after BOS, EOS included."""
    greedy_rewards: Callable[[], Tensor]
    """(B, 1) rewards of the images' likeliest captions, which are searched when asked for."""


def token_logps(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-probability (...) float32 of ``targets`` (...) under ``logits`` (..., V)."""
    # (..., V) and (...) flattened to (N, V) and (N,)
    nll = F.cross_entropy(logits.flatten(0, -2).float(), targets.flatten(), reduction="none")
    return -nll.view(targets.shape)  # (N,) -> (...)


def xe_loss(logits: Tensor, targets: Tensor, pad_id: int, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy (equation 1), averaged over the tokens that are not PAD.

    Args:
        logits: (..., V).
        targets: (...) ids after BOS, EOS included.
        pad_id: id that does not count.
        label_smoothing: share of the target spread evenly over the vocabulary, 0 to 1.
    """
    return F.cross_entropy(
        logits.flatten(0, -2).float(),
        targets.flatten(),
        ignore_index=pad_id,
        label_smoothing=label_smoothing,
    )


def scst_loss(logps: Tensor, rewards: Tensor, baseline: Tensor | None = None) -> Tensor:
    """Self-critical sequence training: - E (r - b) log f(s|I), the mean over B and K.

    Args:
        logps: (B, K) log-probabilities of the candidates, with gradient.
        rewards: (B, K).
        baseline: b, broadcast against ``rewards``: the (B, 1) reward of the greedy caption for the
            classic form, `mean_baseline` for equation 2, nothing for plain REINFORCE.
    """
    advantage = rewards.float() if baseline is None else rewards.float() - baseline.float()
    return -(advantage.detach() * logps.float()).mean()  # eq. 2: (B, K) -> scalar


def mean_baseline(rewards: Tensor) -> Tensor:
    """(B, 1) mean reward over the candidates of an image (equation 2)."""
    return rewards.float().mean(dim=1, keepdim=True)


def dico_loss(
    policy_logps: Tensor,
    reference_logps: Tensor,
    rewards: Tensor,
    beta: float,
    tau: float,
    weighting: Weighting = "softmax",
) -> tuple[Tensor, Metrics]:
    """Direct CLIP-based optimisation (equation 6), the mean over B.

    The winner of an image is its candidate of highest reward, the first on ties; the others are
    losers, weighted by `loser_weights`. K = 2 is DPO on an on-policy pair.

    Args:
        policy_logps: (B, K) of the model in training, with gradient.
        reference_logps: (B, K) of the frozen start model.
        rewards: (B, K) of the evaluator.
        beta: strength of the tie to the reference model (0.2 in the paper).
        tau: how much more a larger gap of rewards counts (300 in the reference, for 2 * cosine).
        weighting: ``softmax`` over the gaps, ``uniform``, or only the ``hardest`` loser, the one of
            lowest reward, to which softmax tends for large tau.

    Returns:
        The loss, and scalars: ``accuracy`` P(Delta > 0), ``margin`` beta * Delta, ``chosen`` and
        ``rejected`` implicit rewards, ``kl`` estimate of KL(policy || reference) per caption,
        ``gamma_entropy``, and ``reward``, ``reward_winner``, ``reward_spread`` (standard deviation
        over the candidates).
    """
    policy, reference = policy_logps.float(), reference_logps.detach().float()
    rewards = rewards.detach().float()
    winner = rewards.argmax(dim=1, keepdim=True)  # (B, 1)
    gamma = loser_weights(rewards, tau, weighting)  # (B, K), eq. 5; 0 at the winner
    ratios = policy - reference  # (B, K) log f_theta / f_ref of each candidate
    chosen = ratios.gather(1, winner)[:, 0]  # (B,)
    rejected = (gamma * ratios).sum(dim=1)  # (B,) sum over the losers
    delta = chosen - rejected  # (B,) the braces of eq. 6
    loss = -F.logsigmoid(beta * delta).mean()  # eq. 6
    detached = ratios.detach()
    metrics = {
        "accuracy": (delta.detach() > 0).float().mean(),
        "margin": beta * delta.detach().mean(),
        "chosen": beta * chosen.detach().mean(),
        "rejected": beta * rejected.detach().mean(),
        "kl": kl_estimate(detached),
        "gamma_entropy": torch.special.entr(gamma).sum(dim=1).mean(),
        "reward": rewards.mean(),
        "reward_winner": rewards.gather(1, winner).mean(),  # over (B, 1)
        "reward_spread": rewards.std(dim=1, correction=0).mean(),
    }
    return loss, metrics


def loser_weights(rewards: Tensor, tau: float, weighting: Weighting = "softmax") -> Tensor:
    """Weights gamma (B, K), equation 5: 0 for the winner, summing to 1 over the K - 1 losers.

    Raises:
        ValueError: fewer than two candidates, or an unknown weighting.
    """
    if rewards.shape[1] < 2:
        raise ValueError(f"rewards: needs at least 2 candidates per image, got {rewards.shape[1]}")
    rewards = rewards.detach().float()
    winner = rewards.argmax(dim=1, keepdim=True)  # (B, 1)
    if weighting == "softmax":
        # (B, K), at least 0: the worse a loser, the larger, so that it weighs more.
        gaps = tau * (rewards.gather(1, winner) - rewards)
    elif weighting == "uniform":
        gaps = torch.zeros_like(rewards)
    elif weighting == "hardest":
        losers = rewards.scatter(1, winner, torch.inf)  # (B, K), so that argmin finds a loser
        return F.one_hot(losers.argmin(dim=1), rewards.shape[1]).to(rewards)
    else:
        raise ValueError(f"weighting: expected softmax, uniform or hardest, got {weighting!r}")
    return gaps.scatter(1, winner, -torch.inf).softmax(dim=1)  # eq. 5, over the K - 1 losers


def winner_nll(policy_logps: Tensor, rewards: Tensor, lengths: Tensor) -> Tensor:
    """Negative log-probability of the winners per token, the mean over B: an anchor for DiCO.

    DPO may lower the winner's own probability as long as the losers' falls further (Pal et al. 2024,
    arXiv 2402.13228). Iterative reasoning preference optimisation adds this term against it (Pang et
    al. 2024, arXiv 2404.19733, equation 2).

    Args:
        policy_logps: (B, K) of the model in training, with gradient.
        rewards: (B, K) of the evaluator.
        lengths: (B, K) tokens of each candidate, EOS included.
    """
    winner = rewards.detach().argmax(dim=1, keepdim=True)  # (B, 1)
    own = policy_logps.float().gather(1, winner) / lengths.gather(1, winner)  # (B, 1)
    return -own.mean()


def kl_estimate(log_ratios: Tensor) -> Tensor:
    """Mean of exp(-d) - 1 + d over d = log f_theta - log f_ref: at least 0, and 0 without drift.

    Unbiased for KL(f_theta || f_ref) on sampled captions (Schulman's k3); on beams, a measure.
    Ratios beyond 20 nats count as 20.
    """
    bounded = log_ratios.float().clamp(-20.0, 20.0)
    # exp(-d) - 1 + d: no term is negative, so a mean over few captions is not either
    return (torch.expm1(-bounded) + bounded).mean()
