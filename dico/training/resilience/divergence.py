"""Divergence and reward-hacking checks as pure functions of the history."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from dico.training.resilience.limits import GuardConfig, RewardHackingConfig

_WINDOW = 50
_LEAST = 20
_SIGMA = 1.4826
"""Standard deviations in one median absolute deviation, for normal values."""
_STEPS_COMPARED = 20

Row = dict[str, Any]


def fault_of_update(loss: float, norm: float, losses: Sequence[float], config: GuardConfig) -> str:
    """Why the weights must not be updated by this step; empty when they may.

    Args:
        loss: of this step.
        norm: of its gradient.
        losses: of the steps before, the newest last.
        config: the limits.
    """
    if not (math.isfinite(loss) and math.isfinite(norm)):
        return f"loss {loss}, gradient norm {norm}"
    limit = spike_limit(losses, config)
    if limit < min(recent := [*losses, loss][-config.spike_steps :]):
        return f"{len(recent)} losses in a row above {limit:.4g}, the newest {loss:.4g}"
    return ""


def spike_limit(losses: Sequence[float], config: GuardConfig) -> float:
    """The loss above which ``spike_steps`` losses in a row are a divergence.

    From the losses before those: the median, and above it ``spike_sigmas`` robust standard
    deviations (1.4826 median absolute deviations) or half the median, whichever is more. Infinite
    where there are fewer than 20.
    """
    # Without the newest losses: a divergence must not raise its own limit.
    end = len(losses) - config.spike_steps + 1
    window = losses[max(0, end - _WINDOW) : max(0, end)]
    if not config.spike_steps or len(window) < _LEAST:
        return math.inf
    middle = median(window)
    # Median and median deviation, which a few spikes do not move.
    sigma = _SIGMA * median(abs(value - middle) for value in window)
    return middle + max(config.spike_sigmas * sigma, abs(middle) / 2)


def captions_beyond_limits(first: Row, row: Row, config: RewardHackingConfig) -> str:
    """What the captions of a validation lost against the first one; empty within the limits."""
    faults = []
    before, now = first["validation_cider"], row["validation_cider"]
    if now < (1 - config.max_cider_drop) * before and config.max_cider_drop < 1:
        faults.append(f"CIDEr {before:.3g} -> {now:.3g}")
    before, now = _repeated_share(first), _repeated_share(row)
    if now > before + config.max_repetition_rise:
        faults.append(f"repeated bigrams {before:.1%} -> {now:.1%}")
    before, now = first["validation_num_words"], row["validation_num_words"]
    if now > config.max_length_ratio * max(before, 1.0):
        faults.append(f"words {before:.1f} -> {now:.1f}")
    return ", ".join(faults)


def reward_hacking(rows: Sequence[Row], config: RewardHackingConfig) -> str:
    """Why fine-tuning should stop, in one sentence; empty while it may go on.

    The last ``patience`` validations must all be beyond a limit.
    """
    validations = [row for row in rows if "validation_cider" in row]
    if not config.patience or len(validations) <= config.patience:
        return ""
    first, recent = validations[0], validations[-config.patience :]
    faults = [captions_beyond_limits(first, row, config) for row in recent]
    if not all(faults):
        return ""
    rewards = [row["reward"] for row in rows if "reward" in row]
    before, now = _mean(rewards[:_STEPS_COMPARED]), _mean(rewards[-_STEPS_COMPARED:])
    # Worse captions at a higher reward were optimised for; at a lower one training just failed.
    kind = "reward hacking" if now > before else "collapse"
    return (
        f"{kind}: reward {before:.3g} -> {now:.3g}, but {faults[-1]} since the start; stopped with "
        "the best weights before. Lower finetune.learning_rate or raise finetune.beta"
    )


def _repeated_share(row: Row) -> float:
    """Share of a caption's bigrams that it had before."""
    return float(row["validation_rep_2"] / max(row["validation_num_words"] - 1, 1.0))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
