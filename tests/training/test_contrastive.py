"""Contrastive losses against loops in float64."""

import math

import pytest
import torch
from torch.nn import functional as F

from dico.training.contrastive import clip_loss, pac_loss


def unit(seed, num_rows=5, width=4):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(num_rows, width, generator=generator, dtype=torch.float64))


def naive_clip_loss(images, texts, scale):
    """The mean over both directions of -log softmax of the matching pair, one pair at a time."""
    total = 0.0
    n = len(images)
    for i in range(n):
        to_texts = [
            scale * sum(a * b for a, b in zip(images[i], texts[j], strict=True)) for j in range(n)
        ]
        to_images = [
            scale * sum(a * b for a, b in zip(images[j], texts[i], strict=True)) for j in range(n)
        ]
        for scores in (to_texts, to_images):
            total += math.log(sum(math.exp(s) for s in scores)) - scores[i]
    return total / (2 * n)


@pytest.mark.parametrize("scale", [1.0, 14.3, 100.0])
def test_clip_loss_is_the_loop(scale):
    images, texts = unit(0), unit(1)
    expected = naive_clip_loss(images.tolist(), texts.tolist(), scale)
    factor = torch.tensor(scale, dtype=torch.float64)
    assert clip_loss(images, texts, factor).item() == pytest.approx(expected, rel=1e-12)


def test_clip_loss_of_two_orthogonal_pairs():
    pairs = torch.eye(2, dtype=torch.float64)
    assert clip_loss(pairs, pairs, torch.tensor(1.0)).item() == pytest.approx(
        math.log1p(math.e**-1)
    )
    swapped = clip_loss(pairs, pairs.flip(0), torch.tensor(1.0)).item()
    assert swapped == pytest.approx(math.log1p(math.e))


def test_pac_loss_adds_each_positive_with_its_weight():
    images, texts, other_images, other_texts = unit(0), unit(1), unit(2), unit(3)
    scale = 7.0
    naive = (
        naive_clip_loss(images.tolist(), texts.tolist(), scale)
        + 0.05 * naive_clip_loss(other_images.tolist(), texts.tolist(), scale)
        + 0.1 * naive_clip_loss(images.tolist(), other_texts.tolist(), scale)
    )
    loss = pac_loss(images, texts, other_images, other_texts, torch.tensor(scale), 0.05, 0.1)
    assert loss.item() == pytest.approx(naive, rel=1e-12)


def test_pac_loss_without_positives_is_clips():
    images, texts = unit(0), unit(1)
    scale = torch.tensor(3.0)
    without = pac_loss(images, texts, unit(2), unit(3), scale, 0.0, 0.0)
    assert without.item() == clip_loss(images, texts, scale).item()
