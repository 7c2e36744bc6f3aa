"""Learning rates over a run."""

import math

from dico.training.configs import Schedule


def learning_rate(
    peak: float, step: int, num_steps: int, warmup_share: float, schedule: Schedule
) -> float:
    """The rate for ``step`` (from 0): linear warm-up to ``peak``, then constant or a half cosine.

    Args:
        peak: the highest rate.
        step: optimiser steps done before this one.
        num_steps: length of the run.
        warmup_share: part of the run that warms up, 0 to 1.
        schedule: ``constant`` stays at the peak, ``cosine`` falls to zero.
    """
    warmup = round(warmup_share * num_steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "constant":
        return peak
    done = (step - warmup) / max(1, num_steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * done))
