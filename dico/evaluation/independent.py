"""Scores of systems' captions by an independent evaluator, which nothing was tuned on.

Its cosine, how often a caption finds its own image by it (R@1), and where it has a generative
evaluator the likelihood of captions (see `dico.models.generative`).

B images, P image tokens, F their width, E embedding.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from dico.images.load import load_validated
from dico.metrics.clip_score import clip_score
from dico.metrics.retrieval import retrieval
from dico.models.evaluator import Evaluator, Weights
from dico.models.generative import FOLDER, GenerativeEvaluator, has_generative

_IMAGES_AT_ONCE = 32
"""A published tower takes some 30 MB for each: what its first layers make of a whole image."""
_CAPTIONS_AT_ONCE = 128
Floats = NDArray[np.float64]


class IndependentJudge:
    """An evaluator's folder as a `dico.evaluation.scores.Judge` of given images."""

    def __init__(
        self, folder: str | Path, uris: Mapping[str, str], device: str | torch.device = "cpu"
    ) -> None:
        """Looks at each image once.

        Args:
            folder: an evaluator's, perhaps with ``generative/``.
            uris: {image id: where the image is}.
            device: where to compute.
        """
        self._evaluator = Evaluator.load(folder, "pac", device)
        own = Path(folder) / FOLDER
        self._generative = GenerativeEvaluator.load(own, device) if has_generative(folder) else None
        self._tower = self._evaluator
        if self._generative is not None and self._generative.tower != "pac":
            self._tower = Evaluator.load(folder, cast(Weights, self._generative.tower), device)
        self._rows = {image_id: row for row, image_id in enumerate(uris)}
        files = list(uris.values())
        starts = range(0, len(files), _IMAGES_AT_ONCE)
        encoded = [self._encode(files[start : start + _IMAGES_AT_ONCE]) for start in starts]
        self._tokens = torch.cat([tokens for tokens, _ in encoded])  # (B, P, F)
        self._embeddings = (
            torch.cat([embedding for _, embedding in encoded]).cpu().numpy()
        )  # (B, E)

    def __call__(self, captions: Sequence[str], image_ids: Sequence[str]) -> dict[str, Floats]:
        """Scores: judge_score, judge_recall_at_1, and judge_likelihood in nats."""
        rows = [self._rows[image_id] for image_id in image_ids]
        images, config = self._embeddings[rows], self._evaluator.config
        batches = (
            captions[i : i + _CAPTIONS_AT_ONCE] for i in range(0, len(captions), _CAPTIONS_AT_ONCE)
        )
        texts = np.concatenate(
            [self._evaluator.embed_texts(batch, config.prompt).cpu().numpy() for batch in batches]
        )
        scores = {
            "judge_score": clip_score(images, texts, w=config.w).per_image,
            "judge_recall_at_1": (retrieval(texts, images).rank <= 1).astype(np.float64),
        }
        if self._generative is not None:
            scores["judge_likelihood"] = self._likelihood(self._generative, captions, rows)
        return scores

    def _encode(self, uris: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Image tokens (B, P, F) and embeddings (B, E)."""
        images = [load_validated(uri) for uri in uris]
        pixels = torch.stack([self._evaluator.preprocess(image) for image in images])
        tokens, embeddings = self._evaluator.image_tokens(pixels)
        if self._tower is not self._evaluator:
            pixels = torch.stack([self._tower.preprocess(image) for image in images])
            tokens, _ = self._tower.image_tokens(pixels)
        return tokens, embeddings

    def _likelihood(
        self, generative: GenerativeEvaluator, captions: Sequence[str], rows: Sequence[int]
    ) -> Floats:
        """Nats (B,) that each caption's own image adds: what it says, not how short it is."""
        scores = []
        for i in range(0, len(captions), _CAPTIONS_AT_ONCE):
            batch = captions[i : i + _CAPTIONS_AT_ONCE]
            tokens = generative.tokenizer.encode_batch(batch, generative.max_tokens)
            own = self._tokens[rows[i : i + _CAPTIONS_AT_ONCE]]
            scores.append(generative.score(own, tokens[:, None], 1.0)[:, 0].cpu())
        return torch.cat(scores).double().numpy()
