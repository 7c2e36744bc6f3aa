"""CIDEr-D as a reward, with the end of a caption as a word.

Vedantam et al. 2015 (arXiv 1411.5726); as the reward of self-critical training, Rennie et al. 2017
(arXiv 1612.00563). Without EOS as a word, captions learn to stop in mid-sentence.

B images, K candidates per image, T tokens.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dico.errors import DataError
from dico.metrics.cider import cider_d
from dico.metrics.prepared import PreparedReferences
from dico.models.tokenizer import Tokenizer
from dico.rewards.protocol import RewardBatch


class CiderReward:
    """CIDEr-D of candidates against their image's references, in [0, 10]."""

    def __init__(
        self, corpus: Sequence[Sequence[str]], tokenizer: Tokenizer, with_eos: bool = True
    ) -> None:
        """Weighs n-grams by their rarity in ``corpus``.

        Args:
            corpus: references of all training images.
            tokenizer: turns candidates into text.
            with_eos: whether the end of a caption counts as a word.
        """
        self._corpus = PreparedReferences(corpus, with_eos=with_eos)
        self._tokenizer, self._with_eos = tokenizer, with_eos

    def __call__(self, batch: RewardBatch) -> Tensor:
        """Scores (B, K), float32; see `Reward`."""
        references = batch.references
        if references is None or not all(references):
            raise DataError("reward: CIDEr-D compares with references, and an image has none")
        num_images, num_candidates, _ = batch.tokens.shape
        # Rarity of n-grams is that of all training images; a batch alone would say little of it.
        prepared = PreparedReferences(
            references, document_frequencies=self._corpus, with_eos=self._with_eos
        )
        captions = self._tokenizer.decode_batch(batch.tokens.flatten(0, 1))  # B * K texts
        image = np.repeat(np.arange(num_images), num_candidates)  # (B * K,) image of each
        scores = cider_d(prepared.prepare(captions, image), prepared).per_image
        rewards = torch.from_numpy(scores).float().view(num_images, num_candidates)  # (B, K)
        return rewards.to(batch.tokens.device)
