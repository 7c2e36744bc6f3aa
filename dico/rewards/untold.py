"""A reward that does not pay for words that no evaluator can tell to be true.

An audit lists them (`dico.audit`, ``untold_words``): words of kinds of statements on which the
evaluator, and every other one that was asked, is no better than guessing. Candidates are scored
without these words, so that saying them earns nothing. A cosine hardly minds the gap; a likelihood
does, and so says such words less.

B images, K candidates per image, T tokens.
"""

import dataclasses
import re
from collections.abc import Sequence

from torch import Tensor

from dico.models.tokenizer import Tokenizer
from dico.rewards.protocol import Reward, RewardBatch


class WithoutUntoldWords:
    """A reward of the same captions without some words."""

    def __init__(
        self, reward: Reward, words: Sequence[str], tokenizer: Tokenizer, max_tokens: int
    ) -> None:
        """Wraps ``reward``.

        Args:
            reward: takes ids of ``tokenizer``.
            words: words and phrases to leave out, at least one; of two the longer first.
            tokenizer: the evaluator's.
            max_tokens: longest caption that the evaluator reads.
        """
        longest_first = sorted(words, key=len, reverse=True)
        phrases = "|".join(re.escape(word) for word in longest_first)
        self._words = re.compile(rf"\b(?:{phrases})\b\s*", re.IGNORECASE)
        self._reward, self._tokenizer, self._max_tokens = reward, tokenizer, max_tokens

    def __call__(self, batch: RewardBatch) -> Tensor:
        """Scores (B, K), float32; see `Reward`."""
        texts = [self.without(text) for group in batch.texts for text in group]
        ids = self._tokenizer.encode_batch(texts, self._max_tokens).to(batch.tokens.device)
        tokens = ids.view(*batch.tokens.shape[:2], -1)  # (B, K, T)
        return self._reward(dataclasses.replace(batch, tokens=tokens, decode=lambda _: texts))

    def without(self, text: str) -> str:
        """The caption without the words."""
        return self._words.sub("", text).strip()
