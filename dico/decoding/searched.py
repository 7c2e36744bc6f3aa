"""Interface that searches need of a captioner, whatever its architecture.

A images still active, R partial captions of each, N = A * R, V vocabulary.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

from dico.models.packed import LMHead


class WordByWord(Protocol):
    """A captioner at work token by token; rows are captions, as many for each image."""

    @property
    def head(self) -> LMHead:
        """Log-probabilities of the next token, of what `step` gives."""

    def step(self, tokens: Tensor) -> Tensor:
        """States (N, D), for ``head``, once each row has taken its next token of (N,)."""

    def select(self, rows: Tensor, images: Tensor | None = None) -> None:
        """Goes on with ``rows`` (A, R), and with ``images`` (A,) alone where some are done."""


class Searched(Protocol):
    """A captioner in eval mode."""

    bos_id: int
    pad_id: int

    @property
    def eos_id(self) -> int:
        """The token that ends a caption at the limit."""

    @property
    def max_tokens(self) -> int:
        """Longest caption that it has places for, BOS and EOS included."""

    @property
    def excluded_ids(self) -> list[int]:
        """Ids that no search may put into a caption; they still count in the softmax."""

    def ends(self, words: Tensor) -> Tensor:
        """Whether each of ``words`` ends a caption."""

    def begin_search(self, memory: Any, num_rows: int, max_tokens: int) -> WordByWord:
        """Starts with one row per image; later there are ``num_rows``, as long as that."""


def only_choices(captioner: Searched, gains: Tensor, ends: bool) -> Tensor:
    """``gains`` (N, V), changed: -inf where a token may not follow, all but EOS where it must."""
    if ends:
        last = gains[:, captioner.eos_id].clone()
        gains.fill_(-torch.inf)
        gains[:, captioner.eos_id] = last
    for word in captioner.excluded_ids:
        gains[:, word] = -torch.inf
    return gains
