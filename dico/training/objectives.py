"""Objectives of fine-tuning, by name: DiCO, SCST, or a loss of another package.

B images, K candidates per image.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from dico.losses import (
    Metrics,
    ScoredCandidates,
    dico_loss,
    mean_baseline,
    scst_loss,
    winner_nll,
)
from dico.plugins import LOSSES
from dico.training.configs import FinetuneConfig

Loss = Callable[[ScoredCandidates], Tensor]
"""What another package's function makes of a `FinetuneConfig`: a loss with gradient, a mean over B."""
Objective = Callable[[ScoredCandidates], tuple[Tensor, Metrics]]
"""A loss, and the metrics of `dico.losses.dico_loss`, by which all methods are watched alike."""


def build_objective(config: FinetuneConfig) -> Objective:
    """The objective that ``config.method`` names.

    Raises:
        ConfigError: neither dico nor an installed package has it.
    """
    if config.method == "dico":
        return functools.partial(_dico, config)
    own: Loss = functools.partial(_scst, config)
    if config.method != "scst":
        own = LOSSES.load(config.method)(config)
    return functools.partial(_watched, config, own)


def _dico(config: FinetuneConfig, scored: ScoredCandidates) -> tuple[Tensor, Metrics]:
    loss, metrics = _preference_loss(config, scored)
    if config.anchor:
        anchor = winner_nll(scored.policy_logps, scored.rewards, scored.lengths)
        loss = loss + config.anchor * anchor
    return loss, metrics


def _preference_loss(config: FinetuneConfig, scored: ScoredCandidates) -> tuple[Tensor, Metrics]:
    return dico_loss(  # eq. 6
        scored.policy_logps,
        scored.reference_logps,
        scored.rewards,
        config.beta,
        config.tau,
        config.weighting,
    )


def _scst(config: FinetuneConfig, scored: ScoredCandidates) -> Tensor:
    baseline = None
    if config.baseline == "mean":
        baseline = mean_baseline(scored.rewards)
    elif config.baseline == "greedy":
        baseline = scored.greedy_rewards()  # (B, 1)
    return scst_loss(scored.policy_logps, scored.rewards, baseline)  # eq. 2


def _watched(config: FinetuneConfig, own: Loss, scored: ScoredCandidates) -> tuple[Tensor, Metrics]:
    with torch.no_grad():  # DiCO's metrics alone, so that all methods' curves can be compared
        _, metrics = _preference_loss(config, scored)
    return own(scored), metrics
