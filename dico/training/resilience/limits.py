"""Limits of the guards that watch a run; reading them needs no torch."""

import dataclasses

from dico.config_schema import check


@dataclasses.dataclass(frozen=True)
class GuardConfig:
    """When a trainer goes back to its last checkpoint, or gives up."""

    max_rewinds: int = 2
    """How often a run goes back after a non-finite or diverging loss; then it fails. 0: at once."""
    spike_steps: int = 5
    """So many losses in a row above the limit are a divergence; 0 looks for none."""
    spike_sigmas: float = 20.0
    """The limit, in robust standard deviations above the median of the 50 losses before."""
    max_step_seconds: float = 3600.0
    """Longest time between two steps, validation and checkpoint included, seconds; 0: no limit."""
    max_data_seconds: float = 900.0
    """Longest time in one reading of data or one writing of a checkpoint, seconds; 0: no limit."""

    def __post_init__(self) -> None:
        """Checks the ranges."""
        for name in ("max_rewinds", "spike_steps", "max_step_seconds", "max_data_seconds"):
            check(getattr(self, name) >= 0, name, getattr(self, name), "must not be negative")
        check(self.spike_sigmas > 0, "spike_sigmas", self.spike_sigmas, "must be positive")


@dataclasses.dataclass(frozen=True)
class RewardHackingConfig:
    """When fine-tuning stops, because the reward rises at the cost of the captions.

    Validation scores are compared with those before the first step.
    """

    max_cider_drop: float = 0.3
    """How far CIDEr may fall, as a fraction of what it was, 0 to 1; 1 never stops. Captions tuned on
    an image-text score leave people's wording, so some loss is the method's price."""
    max_repetition_rise: float = 0.15
    """How much the share of repeated bigrams may rise, 0 to 1."""
    max_length_ratio: float = 3.0
    """How many times longer captions may become."""
    patience: int = 2
    """Validations in a row beyond a limit that stop the run; 0 never stops it."""

    def __post_init__(self) -> None:
        """Checks the ranges."""
        for name in ("max_cider_drop", "max_repetition_rise"):
            check(0 <= getattr(self, name) <= 1, name, getattr(self, name), "must be in [0, 1]")
        ratio = self.max_length_ratio
        check(ratio >= 1, "max_length_ratio", ratio, "must be at least 1")
        check(self.patience >= 0, "patience", self.patience, "must not be negative")
