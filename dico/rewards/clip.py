"""Rewards from the cosine of an image and a caption: PAC-S, CLIP-S and their forms with references.

PAC-S: Sarto et al. 2023 (arXiv 2303.12112); CLIP-S: Hessel et al. 2021 (arXiv 2104.08718). Two
forms, by name: as the *reward* of DiCO the score has no prompt and may be negative; as *published*
it has the prompt "A photo depicts " and is at least 0.

B images, K candidates per image, T tokens, S references, E embedding.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from dico.errors import DataError
from dico.metrics.clip_score import CLIP_W
from dico.models.evaluator import Evaluator, Weights
from dico.rewards.protocol import ImageEmbeddings, RewardBatch

Form = Literal["reward", "published"]
MOST_KEPT_REFERENCES = 1 << 18
"""References whose embeddings are kept for later epochs: 512 MiB at E = 512."""


class ClipReward:
    """w * cos(image, caption): PAC-S by an evaluator's PAC weights, CLIP-S by CLIP's."""

    def __init__(
        self, evaluator: Evaluator, weights: Weights = "pac", form: Form = "reward"
    ) -> None:
        """Scores by ``evaluator``.

        Args:
            evaluator: embeds captions.
            weights: which it was loaded with. Images are compared by the same, and w is 2.5 for
                ``clip``, the evaluator's own (2.0) for ``pac``.
            form: ``reward`` or ``published``.
        """
        self.evaluator, self.weights, self.form = evaluator, weights, form
        self.w = CLIP_W if weights == "clip" else evaluator.config.w

    @torch.no_grad()
    def __call__(self, batch: RewardBatch) -> Tensor:
        """Scores (B, K), float32; see `Reward`."""
        return self._with_image(batch.image_embeddings, self._texts(batch.tokens))

    def _texts(self, tokens: Tensor) -> Tensor:
        """Embeddings (B, K, E); without a prompt the ids go to the text tower as they are."""
        if self.form == "reward":
            return self.evaluator.embed_candidates(tokens)
        captions = self.evaluator.tokenizer.decode_batch(tokens.flatten(0, 1))  # B * K texts
        prompt = self.evaluator.config.prompt
        # (B * K, E) -> (B, K, E)
        return self.evaluator.embed_texts(captions, prompt).view(*tokens.shape[:2], -1)

    def _with_image(self, image_embeddings: ImageEmbeddings, texts: Tensor) -> Tensor:
        images = image_embeddings(self.weights).to(texts)  # (B, E)
        cosines = torch.einsum("bke,be->bk", texts, images)  # (B, K): both sides have length 1
        return self.w * (cosines.clamp(min=0) if self.form == "published" else cosines)


class RefClipReward(ClipReward):
    """Harmonic mean of `ClipReward` and the highest cosine with a reference (RefCLIP-S, RefPAC-S).

    Both terms are at least 0, in either form. Embeddings of references are kept for later epochs.
    """

    def __init__(
        self, evaluator: Evaluator, weights: Weights = "pac", form: Form = "reward"
    ) -> None:
        super().__init__(evaluator, weights, form)
        self._kept: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, batch: RewardBatch) -> Tensor:
        """Scores (B, K), float32; see `Reward`."""
        texts = self._texts(batch.tokens)  # (B, K, E)
        with_image = self._with_image(batch.image_embeddings, texts).clamp(min=0)
        closest = torch.stack(
            [
                (candidates @ self._embed(group).T).amax(dim=1)  # (K, S) -> (K,)
                for candidates, group in zip(texts, _checked(batch.references), strict=True)
            ]
        ).clamp(min=0)  # (B, K)
        both = with_image + closest  # (B, K)
        # Harmonic mean; 0 where both terms are 0.
        return 2 * with_image * closest / both.where(both > 0, torch.ones_like(both))

    def _embed(self, references: Sequence[str]) -> Tensor:
        """Embeddings (S, E) of an image's references."""
        missing = [text for text in references if text not in self._kept]
        if missing:
            prompt = self.evaluator.config.prompt if self.form == "published" else ""
            if len(self._kept) > MOST_KEPT_REFERENCES:  # bounded memory; embedded again when needed
                self._kept.clear()
                missing = list(references)
            made = self.evaluator.embed_texts(missing, prompt)
            self._kept.update(zip(missing, made, strict=True))
        return torch.stack([self._kept[text] for text in references])  # (N, E)


def _checked(references: Sequence[Sequence[str]] | None) -> Sequence[Sequence[str]]:
    if references is None or not all(references):
        raise DataError("reward: compares with references, and an image has none; use pac or clip")
    return references
