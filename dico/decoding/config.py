"""Settings of a search and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dico.config_schema import check

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class DecodingConfig:
    """How captions are made; the defaults are the paper's."""

    num_beams: int = 5
    """Beams of a search, and candidates K it returns, or samples per image."""
    max_tokens: int = 30
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
        """Checks ranges."""
        check(self.num_beams >= 1, "num_beams", self.num_beams, "must be at least 1")
        check(self.max_tokens >= 3, "max_tokens", self.max_tokens, "must be at least 3")


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
