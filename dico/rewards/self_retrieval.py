"""A caption is worth as much as it finds its image among others: the self-retrieval reward.

    r(c) = log p(I | c) = log exp(s cos(c, I)) / sum_J exp(s cos(c, J))

over images J of the training set, with the evaluator's inverse temperature s. What fits many images
pays little, so captions say what is their image's own. Sources: the discriminability objective of Luo
et al. 2018 (arXiv 1803.04376), the self-retrieval reward of Liu et al. 2018 (arXiv 1803.08314), and
discriminative fine-tuning by a frozen retriever (Dessi et al. 2023, arXiv 2304.01662). Differences:
there the other images are those of the batch, here all of the image's fold; and the evaluator has
not seen them (`dico.models.folds`).

B images, K candidates per image, T tokens, S width of a pooled text.
"""

import torch
from torch import Tensor

from dico.models.evaluator import Evaluator
from dico.models.folds import Folds
from dico.rewards.protocol import RewardBatch


class SelfRetrievalReward:
    """Log p(image | caption), nats, by maps of the evaluator that have not seen the image."""

    def __init__(self, evaluator: Evaluator, folds: Folds) -> None:
        """Scores by ``evaluator``, of joined towers, and its ``folds``."""
        self.evaluator, self.folds = evaluator, folds

    @torch.no_grad()
    def __call__(self, batch: RewardBatch) -> Tensor:
        """Scores (B, K), float32; see `Reward`."""
        tokens = batch.tokens.to(self.evaluator.device)
        pooled = self.evaluator.model.pooled_texts(tokens.flatten(0, 1))  # (B * K, S)
        texts = pooled.float().unflatten(0, tokens.shape[:2])  # (B, K, S)
        added = [
            index for index, sha256 in enumerate(batch.image_ids) if not self.folds.knows(sha256)
        ]
        own = batch.image_embeddings("pac") if added else None  # (B, E)
        scores = [
            self.folds.log_retrieval(sha256, texts[index], None if own is None else own[index])
            for index, sha256 in enumerate(batch.image_ids)
        ]
        return torch.stack(scores)  # B times (K,) -> (B, K)
