"""Rewards from the cosine of a picture and a caption: PAC-S and CLIP-S.

PAC-S: Sarto et al. 2023 (arXiv 2303.12112); CLIP-S: Hessel et al. 2021 (arXiv 2104.08718). As the
reward of DiCO the score has no prompt and is not clamped at 0; the published scores have both.

B images, K candidates per image, T tokens, E embedding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dico.models.evaluator import Evaluator


class ClipReward:
    """w * cos(image, caption), of an evaluator with PAC weights (w = 2.0) or CLIP's (w = 2.5)."""

    def __init__(self, evaluator: Evaluator, w: float | None = None, clamp: bool = False) -> None:
        self.evaluator, self.clamp = evaluator, clamp
        self.w = evaluator.config.w if w is None else w

    @torch.no_grad()
    def __call__(
        self,
        image_embeddings: Tensor,
        tokens: Tensor,
        references: Sequence[Sequence[str]] | None = None,  # noqa: ARG002
    ) -> Tensor:
        """Scores (B, K), float32; ids of the candidates go to the text tower as they are."""
        texts = self.evaluator.embed_candidates(tokens)
        images = image_embeddings.to(texts)
        cosines = torch.einsum("bke,be->bk", texts, images)
        return self.w * (cosines.clamp(min=0) if self.clamp else cosines)
