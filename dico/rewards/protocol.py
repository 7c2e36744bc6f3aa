"""What a reward is."""

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from dico.models.evaluator import Weights

ImageEmbeddings = Callable[[Weights], Tensor]
"""Embeddings (B, E), float32, of length 1, of images by the evaluator's weights ``pac`` or ``clip``;
they are read only where a reward asks for them."""


class Reward(Protocol):
    """Scores candidates of images: higher is better. No gradient."""

    def __call__(
        self,
        image_embeddings: ImageEmbeddings,
        tokens: Tensor,
        references: Sequence[Sequence[str]] | None = None,
    ) -> Tensor:
        """Scores (B, K), float32.

        Args:
            image_embeddings: of the B images, by the weights that they are compared with.
            tokens: (B, K, T) ids BOS..EOS, PAD after.
            references: human captions of each image, for rewards that compare with them.
        """
        ...
