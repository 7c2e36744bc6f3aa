"""Rewards of captions that are written in another vocabulary than the evaluator's.

B images, K candidates per image, T tokens.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

from dico.models.tokenizer import Tokenizer
from dico.rewards.protocol import ImageEmbeddings, Reward


class RetokenisedReward:
    """A reward of the same captions in the evaluator's ids, by their text."""

    def __init__(
        self,
        reward: Reward,
        decode: Callable[[Tensor], list[str]],
        tokenizer: Tokenizer,
        max_tokens: int,
    ) -> None:
        """Wraps ``reward``.

        Args:
            reward: takes ids of ``tokenizer``.
            decode: texts of (N, T) ids of the captioner.
            tokenizer: the evaluator's.
            max_tokens: longest caption that the evaluator reads; what is longer is cut.
        """
        self._reward, self._decode = reward, decode
        self._tokenizer, self._max_tokens = tokenizer, max_tokens

    def __call__(
        self,
        image_embeddings: ImageEmbeddings,
        tokens: Tensor,
        references: Sequence[Sequence[str]] | None = None,
    ) -> Tensor:
        """Scores (B, K), float32; see `Reward`."""
        texts = self._decode(tokens.flatten(0, 1))
        ids = self._tokenizer.encode_batch(texts, self._max_tokens).to(tokens.device)
        return self._reward(image_embeddings, ids.view(*tokens.shape[:2], -1), references)
