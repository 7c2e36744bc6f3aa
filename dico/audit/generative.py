"""A captioner's likelihood as a judge, from image tokens that are made once.

B images, K captions of each, P image tokens, F their width, T caption tokens.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from dico.audit.judges import Floats
from dico.models.generative import GenerativeEvaluator


class GenerativeJudge:
    """The score of a `GenerativeEvaluator`, as its reward is: its own share of the blind prior."""

    def __init__(
        self,
        name: str,
        images: Mapping[str, NDArray[np.floating]],
        evaluator: GenerativeEvaluator,
        batch_size: int = 2048,
    ) -> None:
        """Knows images by their tokens.

        Args:
            name: what reports call it.
            images: {key: (P, F) image tokens of the tower that it was trained on}.
            evaluator: scores.
            batch_size: captions scored at once.
        """
        self.name, self._images, self._evaluator, self._batch = name, images, evaluator, batch_size

    def score(self, images: Sequence[str], captions: Sequence[Sequence[str]]) -> Floats:
        """See `dico.audit.judges.Judge`."""
        width = len(captions[0])
        rows = max(1, self._batch // width)
        tables = [
            self._of(images[start : start + rows], captions[start : start + rows])
            for start in range(0, len(images), rows)
        ]
        return np.concatenate(tables)

    def _of(self, images: Sequence[str], captions: Sequence[Sequence[str]]) -> Floats:
        evaluator = self._evaluator
        features = torch.from_numpy(np.stack([self._images[key] for key in images]))  # (B, P, F)
        texts = [text for own in captions for text in own]
        tokens = evaluator.tokenizer.encode_batch(texts, evaluator.max_tokens)  # (B K, T)
        scores = evaluator.score(features, tokens.view(len(images), -1, tokens.shape[-1]))
        return scores.cpu().numpy().astype(np.float64)
