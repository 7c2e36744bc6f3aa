"""Interface of dual encoders and vision towers, whichever library built them.

Every embedding is float, of length 1. B images, P image tokens, F width of a token, K candidates
per image, N texts, T text tokens, E embedding.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn


class TextTokenizer(Protocol):
    """Captions to the ids that an encoder reads, and back."""

    def encode_batch(self, texts: Sequence[str], max_tokens: int) -> Tensor:
        """Ids (N, T) of captions, cut at ``max_tokens`` with their end kept."""

    def decode_batch(self, tokens: Tensor) -> list[str]:
        """Captions of ids (N, T), with single spaces."""

    def save(self, folder: str | Path) -> None:
        """Writes the tokenizer's files into ``folder``."""


class VisionTower(Protocol):
    """Encodes images for a captioner."""

    def encode_pixels(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens (B, P, F) and embeddings (B, E) of pixels (B, 3, H, W), in one pass."""


class DualEncoder(VisionTower, Protocol):
    """Embeds images and texts in one space; also a ``torch.nn.Module``."""

    logit_scale: nn.Parameter
    """Logarithm of the inverse temperature that cosines are multiplied by in training."""

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Embeddings (B, E) of pixels (B, 3, H, W)."""

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Embeddings (N, E) of its tokenizer's ids (N, T)."""

    def encode_candidates(self, tokens: Tensor) -> Tensor:
        """Embeddings (B, K, E) of K candidates (B, K, T) of each image."""

    def projections(self) -> list[nn.Parameter]:
        """The last maps into the shared space, which PAC-S trains and nothing else."""

    def drop_vision(self) -> None:
        """Frees the image side, where embeddings of images are stored."""
