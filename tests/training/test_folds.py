"""Maps of a fold have not seen it: its images may be anything, and they stay the same."""

import dataclasses
import hashlib

import pytest
import torch
from torch import nn

from dico.data.manifest import Record
from dico.errors import ConfigError, DataError
from dico.training.configs import EvaluatorTrainingConfig, JudgeConfig
from dico.training.folds import train_folds
from dico.training.halves import fold_of
from dico.training.projections import Pooled

CONFIG = EvaluatorTrainingConfig(
    weights="pip:a+b", reward_folds=3, num_clip_steps=12, batch_size=8, learning_rate=1e-2
)
RECORDS = [
    Record(
        str(n), f"{n}.png", hashlib.sha256(bytes([n])).hexdigest(), 1, 8, 8, ("a b", "b c"), "train"
    )
    for n in range(1, 31)
]
OWN = torch.tensor([fold_of(record.sha256, 3) for record in RECORDS])


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = nn.Module()
    made.visual_projection, made.text_projection = nn.Linear(6, 4), nn.Linear(5, 4)
    made.logit_scale = nn.Parameter(torch.tensor(2.0))
    return made


@pytest.fixture
def seen():
    torch.manual_seed(1)
    return Pooled(torch.randn(30, 6), tuple(torch.randn(2, 5) for _ in RECORDS))


def test_maps_of_a_fold_have_not_seen_it(model, seen):
    first = train_folds(RECORDS, seen, model, CONFIG, seed=0)
    texts = [text * (1 + 9 * (OWN[n] == 1)) for n, text in enumerate(seen.texts)]
    images = seen.images * (1 + 9 * (OWN == 1))[:, None]
    changed = train_folds(RECORDS, Pooled(images, tuple(texts)), model, CONFIG, seed=0)
    same = [
        torch.equal(one, other)
        for one, other in zip(first.text_weights, changed.text_weights, strict=True)
    ]
    assert same == [False, True, False, True]
    assert first.scales[1] == changed.scales[1]


def test_each_image_has_an_embedding_by_its_fold_and_one_by_all(model, seen):
    folds = train_folds(RECORDS, seen, model, CONFIG, seed=0)
    assert torch.equal(folds.sets, torch.cat([OWN, torch.full((30,), 3)]))
    assert all(folds.knows(record.sha256) for record in RECORDS)
    by_all = nn.functional.normalize(model.visual_projection(seen.images), dim=-1)
    assert torch.allclose(folds.images[30:], by_all, atol=1e-6)
    assert torch.allclose(folds.images.norm(dim=-1), torch.ones(60), atol=1e-5)
    assert folds.scales[-1] == model.logit_scale.exp()


def test_one_seed_gives_one_set_of_folds(model, seen):
    made = [train_folds(RECORDS, seen, model, CONFIG, seed).text_weights for seed in (3, 3, 4)]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_an_empty_fold_is_refused(model, seen):
    config = dataclasses.replace(CONFIG, reward_folds=200)
    with pytest.raises(DataError, match="30 training images leave a fold of 200 empty"):
        train_folds(RECORDS, seen, model, config, seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reward_folds": 1, "weights": "pip:a+b"}, "must be 0 or at least 2"),
        ({"reward_folds": 4}, "must be 0 where weights are no pip:VISION[+]TEXT"),
    ],
)
def test_folds_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ConfigError, match=f"reward_folds: {message}"):
        EvaluatorTrainingConfig(**settings)
    with pytest.raises(ConfigError, match="the judge rewards nothing"):
        JudgeConfig(weights="pip:a+b", reward_folds=2)
