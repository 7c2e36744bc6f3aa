"""Rewards of captions that are written in another vocabulary than the evaluator's.

B images, K candidates per image, T tokens.
"""

import dataclasses

from torch import Tensor

from dico.models.tokenizer import Tokenizer
from dico.rewards.protocol import Reward, RewardBatch


class RetokenisedReward:
    """A reward of the same captions in the evaluator's ids, by their text."""

    def __init__(self, reward: Reward, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Wraps ``reward``.

        Args:
            reward: takes ids of ``tokenizer``.
            tokenizer: the evaluator's.
            max_tokens: longest caption that the evaluator reads; what is longer is cut.
        """
        self._reward, self._tokenizer, self._max_tokens = reward, tokenizer, max_tokens

    def __call__(self, batch: RewardBatch) -> Tensor:
        """Scores (B, K), float32; see `Reward`.

        Args:
            batch: with the captioner's ids, and its ``decode``.
        """
        texts = [text for group in batch.texts for text in group]
        ids = self._tokenizer.encode_batch(texts, self._max_tokens).to(batch.tokens.device)
        tokens = ids.view(*batch.tokens.shape[:2], -1)  # (B, K, T)
        return self._reward(dataclasses.replace(batch, tokens=tokens, decode=lambda _: texts))
