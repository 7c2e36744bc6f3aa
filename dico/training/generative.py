"""Trains a generative evaluator on the stored features of any frozen tower.

The captioner of `dico.training.xe`, except that for a share of the images it looks at the mean
image in their place, so that it knows how likely captions are when nothing is seen (classifier-free
guidance, Ho and Salimans 2022, arXiv 2207.12598). See `dico.models.generative` for its use. Where an
evaluator is trained from the start, `dico.training.evaluator` trains one on the same tower with it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dico.data.manifest import Record
from dico.features.store import FeatureStore
from dico.models.captioner import Captioner
from dico.models.generative import GenerativeEvaluator
from dico.training.configs import XEConfig
from dico.training.data import CaptioningData
from dico.training.distributed import World
from dico.training.resilience.checkpoint import Checkpoints
from dico.training.resilience.state import TrainingState
from dico.training.validation import Validator
from dico.training.xe import pretrain

_IMAGES_OF_MEAN = 1024


class PartlyBlindData(CaptioningData):
    """Captioning data of which a share of images is the mean image, drawn anew at each step."""

    def __init__(
        self,
        records: Sequence[Record],
        features: FeatureStore,
        device: torch.device,
        blind_share: float,
    ) -> None:
        super().__init__(records, features, device)
        self.blind_share = blind_share
        first = range(min(len(records), _IMAGES_OF_MEAN))
        self.mean = self.tokens(list(first)).mean(dim=0)  # (P, F)

    def images(self, indices: Sequence[int]) -> Tensor:
        """Image tokens (B, P, F), float32; the mean image's where nothing is seen."""
        tokens = self.tokens(indices)
        blind = torch.rand(len(tokens), 1, 1).to(tokens.device) < self.blind_share
        return torch.where(blind, self.mean, tokens)  # (B, P, F): blind is (B, 1, 1), mean (P, F)


def train_generative(
    captioner: Captioner,
    data: PartlyBlindData,
    validator: Validator,
    config: XEConfig,
    alpha: float,
    seed: int,
    checkpoints: Checkpoints,
    world: World,
) -> tuple[GenerativeEvaluator, TrainingState]:
    """Trains ``captioner`` in place; returns the evaluator that it has become.

    Raises:
        NonFiniteError: the loss or a gradient was NaN or infinite, or the loss ran away, again.
        TryAgainError: stopped by SIGTERM, after a checkpoint.
    """
    state = pretrain(captioner, data, validator, config, seed, checkpoints, world)
    evaluator = GenerativeEvaluator(captioner, alpha).to(data.device)
    evaluator.blind_tokens.data.copy_(data.mean)  # (P, F): what it saw where nothing was seen
    return evaluator.eval().requires_grad_(False), state
