"""Contrastive losses of the evaluator: CLIP's, and PAC's with positives added on both sides.

CLIP: Radford et al. 2021 (arXiv 2103.00020), figure 3. PAC: Sarto et al. 2023 (arXiv 2303.12112),
equation 5: L = L(v, t) + lambda_visual L(v', t) + lambda_text L(v, t'), where v' is another image
of what v shows and t' another caption of it. Hard negatives are NegCLIP's: Yuksekgonul et al. 2023
(arXiv 2210.01936), section 4.

B pairs, E embedding; embeddings are float32 of length 1.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

MAX_LOGIT_SCALE = 100.0
"""CLIP's own bound on the inverse temperature; a larger one makes training unstable."""


def clip_loss(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Symmetric cross-entropy over the similarities of B matching pairs; lower is better.

    Args:
        images: (B, E).
        texts: (B, E); row i belongs to row i of ``images``.
        scale: () factor of the cosines, the inverse temperature.
    """
    logits = scale * images @ texts.T  # (B, B)
    targets = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


def pac_loss(
    images: Tensor,
    texts: Tensor,
    positive_images: Tensor,
    positive_texts: Tensor,
    scale: Tensor,
    lambda_visual: float,
    lambda_text: float,
) -> Tensor:
    """CLIP's loss with an added positive image and an added positive caption a pair; all (B, E)."""
    loss = clip_loss(images, texts, scale)
    loss = loss + lambda_visual * clip_loss(positive_images, texts, scale)
    return loss + lambda_text * clip_loss(images, positive_texts, scale)


def hard_negative_loss(images: Tensor, texts: Tensor, false_texts: Tensor, scale: Tensor) -> Tensor:
    """Cross-entropy of each image's caption among all captions and their false editions.

    Args:
        images: (B, E).
        texts: (B, E); row i belongs to row i of ``images``.
        false_texts: (B, E) of the captions edited so that they are false.
        scale: () factor of the cosines, the inverse temperature.
    """
    logits = scale * images @ torch.cat([texts, false_texts]).T  # (B, 2 B)
    return F.cross_entropy(logits, torch.arange(len(images), device=images.device))


@torch.no_grad()
def bound_scale(logit_scale: Tensor) -> None:
    """Keeps the logarithm of the inverse temperature within CLIP's bound, after each update."""
    logit_scale.clamp_(max=math.log(MAX_LOGIT_SCALE))
