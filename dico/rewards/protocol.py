"""What a reward is."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Reward(Protocol):
    """Scores candidates of images: higher is better. No gradient."""

    def __call__(
        self,
        image_embeddings: Tensor,
        tokens: Tensor,
        references: Sequence[Sequence[str]] | None = None,
    ) -> Tensor:
        """Scores (B, K), float32.

        Args:
            image_embeddings: (B, E) of length 1, by the evaluator's weights, kept per image.
            tokens: (B, K, T) ids BOS..EOS, PAD after.
            references: human captions of each image, for rewards that compare with them.
        """
        ...
