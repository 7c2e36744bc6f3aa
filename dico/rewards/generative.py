"""A captioner's likelihood as a reward, with a part of its blind prior taken off.

See `dico.models.generative` for sources and for why the part is not the whole.

B images, K candidates per image, T tokens, P image tokens, F their width.
"""

import torch
from torch import Tensor

from dico.models.generative import GenerativeEvaluator
from dico.rewards.protocol import RewardBatch


class GenerativeReward:
    """log p(c | I) - alpha log p(c | nothing), nats, over the evaluator's own ``alpha``."""

    def __init__(self, evaluator: GenerativeEvaluator) -> None:
        """Scores by ``evaluator``, which reads the stored image tokens."""
        self.evaluator = evaluator

    @torch.no_grad()
    def __call__(self, batch: RewardBatch) -> Tensor:
        """Scores (B, K), float32; see `Reward`."""
        return self.evaluator.score(batch.image_tokens(), batch.tokens)
