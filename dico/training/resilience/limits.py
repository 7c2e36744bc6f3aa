"""Limits of the guards that watch a run; reading them needs no torch."""

import dataclasses
from typing import Annotated

from dico.configuration.ranges import (
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    Range,
    Ranged,
)


@dataclasses.dataclass(frozen=True)
class GuardConfig(Ranged):
    """When a trainer goes back to its last checkpoint, or gives up."""

    max_rewinds: NonNegativeInt = 2
    """How often a run goes back after a non-finite or diverging loss; then it fails. 0: at once."""
    spike_steps: NonNegativeInt = 5
    """So many losses in a row above the limit are a divergence; 0 looks for none."""
    spike_sigmas: PositiveFloat = 20.0
    """The limit, in robust standard deviations above the median of the 50 losses before."""
    max_step_seconds: NonNegativeFloat = 3600.0
    """Longest time between two steps, validation and checkpoint included, seconds; 0: no limit."""
    max_data_seconds: NonNegativeFloat = 900.0
    """Longest time in one reading of data or one writing of a checkpoint, seconds; 0: no limit."""


@dataclasses.dataclass(frozen=True)
class RewardHackingConfig(Ranged):
    """When fine-tuning stops, because the reward rises at the cost of the captions.

    Validation scores are compared with those before the first step.
    """

    max_cider_drop: Fraction = 0.3
    """How far CIDEr may fall, as a fraction of what it was, 0 to 1; 1 never stops. Captions tuned on
    an image-text score leave human wording, so some loss is the method's price."""
    max_repetition_rise: Fraction = 0.15
    """How much the share of repeated bigrams may rise, 0 to 1."""
    max_length_ratio: Annotated[float, Range(low=1)] = 3.0
    """How many times longer captions may become."""
    patience: NonNegativeInt = 2
    """Validations in a row beyond a limit that stop the run; 0 never stops it."""
