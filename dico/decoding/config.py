"""Settings of a search and what it returns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from dico.configuration.ranges import NonNegativeFloat, PositiveInt, Range, Ranged
from dico.configuration.schema import check

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class DecodingConfig(Ranged):
    """How captions are made; the defaults are the paper's."""

    num_beams: PositiveInt = 5
    """Beams of a search, and candidates K it returns, or samples per image."""
    num_groups: PositiveInt = 1
    """Number of groups of equal size for diverse beam search (`diverse_beam_search`); 1 is plain
    beam search. Divides ``num_beams``; greedy and sampling have none."""
    diversity_penalty: NonNegativeFloat = 0.5
    """Nats that a word costs a group for each beam of an earlier group that just took it, where
    ``num_groups`` is above 1; Vijayakumar et al. 2016 (arXiv 1610.02424) find 0.2 to 0.8 to work for
    Hamming diversity, and this is the middle."""
    max_tokens: Annotated[int, Range(low=3)] = 30
    """Longest caption, BOS and EOS included."""
    length_penalty: float = 1.0
    """A caption's score is its log-probability / length ** this: above 0 favours long captions."""
    rule: Literal["transformers5", "transformers4"] = "transformers5"
    """When a search stops and what length divides by: as transformers 5, or as 4.20 did, under
    which the authors' checkpoints were made."""
    eos_at_limit: Literal["forced", "open"] = "forced"
    """The last place of a caption: only EOS, at its true log-probability, or anything, so that a
    caption may have no EOS, as transformers leaves it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        even = self.num_beams % self.num_groups == 0
        check(even, "num_groups", self.num_groups, f"must divide num_beams ({self.num_beams})")
        finite = self.diversity_penalty < math.inf
        check(finite, "diversity_penalty", self.diversity_penalty, "must be finite")


@dataclass(frozen=True)
class Candidates:
    """K captions for each of B images, best first."""

    tokens: Tensor
    """(B, K, T) ids BOS..EOS, PAD after; T is the longest caption."""
    logps: Tensor
    """(B, K) float32 sum of the tokens' log-probabilities, EOS included."""
    scores: Tensor
    """(B, K) float32 log-probability over the length to its penalty; samples have their logps."""
    lengths: Tensor
    """(B, K) tokens of each caption, BOS and EOS included."""


def ends_now(config: DecodingConfig, length: int) -> bool:
    """Whether only EOS may follow ``length`` tokens, BOS included."""
    return config.eos_at_limit == "forced" and length + 1 == config.max_tokens


def check_fits(config: DecodingConfig, num_places: int) -> None:
    """Checks that a captioner that has places for ``num_places`` tokens can be searched.

    Raises:
        ConfigError: captions may become longer.
    """
    fits = f"must be at most {num_places}, the captioner's places for tokens"
    check(config.max_tokens <= num_places, "decoding.max_tokens", config.max_tokens, fits)
