"""Trains maps between frozen towers on all but one fold of the images, for each fold.

See `dico.models.folds` for why. Pooled outputs are there already, so that a fold costs what the maps
themselves cost: seconds.

N images, F width of a pooled image, E embedding.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dico.data.manifest import Record
from dico.errors import DataError
from dico.models.encoders.towers import JoinedTowers
from dico.models.folds import Folds
from dico.training.configs import EvaluatorTrainingConfig
from dico.training.determinism import step_seed
from dico.training.halves import fold_of
from dico.training.projections import LinearMap, Maps, Pooled, train_maps


def train_folds(
    train: Sequence[Record],
    seen: Pooled,
    model: JoinedTowers,
    config: EvaluatorTrainingConfig,
    seed: int,
) -> Folds:
    """The folds of ``train``, each with maps that have not seen it.

    Args:
        train: images (N).
        seen: their pooled outputs.
        model: with the maps that have seen all of them.
        config: ``reward_folds``, and what training of maps reads.
        seed: of the maps' first values, of the order and of the dropout.

    Raises:
        DataError: too few images: a fold would be empty.
    """
    own = torch.tensor([fold_of(record.sha256, config.reward_folds) for record in train])  # (N,)
    missing = set(range(config.reward_folds)) - set(own.tolist())
    if missing:
        raise DataError(
            f"evaluator.reward_folds: {len(train)} training images leave a fold of "
            f"{config.reward_folds} empty; take fewer folds"
        )
    text_maps: list[LinearMap] = []
    images = seen.images.new_empty(len(train), model.visual_projection.out_features)  # (N, E)
    scales: list[Tensor] = []
    for fold in range(config.reward_folds):
        others = seen.chosen((own != fold).nonzero().flatten())
        torch.manual_seed(step_seed(seed, fold, "folds"))
        maps = Maps(model, others, config.projection_dropout)
        train_maps(maps, others, config, seed, f"fold {fold + 1} of {config.reward_folds}")
        visual, text = maps.plain()
        images[own == fold] = _embed(visual, seen.images[own == fold])
        text_maps.append(text)
        scales.append(maps.logit_scale.detach().exp())
    text_maps.append(LinearMap.of(model.text_projection))
    scales.append(model.logit_scale.detach().exp())
    by_all = _embed(LinearMap.of(model.visual_projection), seen.images)  # (N, E)
    last = torch.full_like(own, config.reward_folds)
    digests = np.frombuffer(b"".join(bytes.fromhex(r.sha256) for r in train), np.uint8)
    return Folds(
        text_weights=torch.stack([one.weight for one in text_maps]),  # (G, E, S)
        text_biases=torch.stack([one.bias for one in text_maps]),
        scales=torch.stack(scales),
        images=torch.cat([images, by_all]),  # (2 N, E)
        sets=torch.cat([own, last]),
        digests=torch.from_numpy(digests.reshape(len(train), -1).copy()),  # (N * 32,) -> (N, 32)
    )


def _embed(linear: LinearMap, values: Tensor) -> Tensor:
    """(n, E), of length 1, of pooled images (n, F)."""
    return F.normalize(F.linear(values, linear.weight, linear.bias), dim=-1)
