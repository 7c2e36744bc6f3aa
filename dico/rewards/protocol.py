"""The reward's interface, and what a reward may look at.

B images, K candidates per image, T tokens, E embedding.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from dico.errors import DataError
from dico.models.evaluator import Weights

if TYPE_CHECKING:
    from PIL import Image

ImageEmbeddings = Callable[[Weights], Tensor]
"""Embeddings (B, E), float32, of length 1, of images by the evaluator's weights ``pac`` or ``clip``;
they are read only where a reward asks for them."""


def _no_images() -> "list[Image.Image]":
    raise DataError("reward: looks at images, and none were given")


def _no_tokens() -> Tensor:
    raise DataError("reward: looks at image tokens, and none were given")


@dataclass(frozen=True)
class RewardBatch:
    """K candidates of each of B images; what costs time is made only when it is asked for."""

    tokens: Tensor
    """(B, K, T) ids BOS..EOS of the evaluator's tokenizer, PAD after."""

    decode: Callable[[Tensor], list[str]]
    """Texts of (N, T) ids."""

    image_embeddings: ImageEmbeddings
    """Embeddings of the images, by the weights that they are compared with."""

    references: Sequence[Sequence[str]] | None = None
    """Human captions of each image, for rewards that compare with them."""

    image_ids: Sequence[str] = ()
    """SHA-256 of each image's file."""

    images: "Callable[[], list[Image.Image]]" = _no_images
    """Reads and decodes the images, RGB."""

    image_tokens: Callable[[], Tensor] = _no_tokens
    """Reads the stored image tokens (B, P, F), float32."""

    @property
    def num_candidates(self) -> int:
        """Candidates K of each image."""
        return self.tokens.shape[1]

    @functools.cached_property
    def texts(self) -> list[list[str]]:
        """The candidates as text, K of each image."""
        texts = self.decode(self.tokens.flatten(0, 1))  # (B * K, T)
        k = self.num_candidates
        return [texts[first : first + k] for first in range(0, len(texts), k)]


class Reward(Protocol):
    """Scores candidates of images: higher is better. No gradient."""

    def __call__(self, batch: RewardBatch) -> Tensor:
        """Scores (B, K), float32."""
