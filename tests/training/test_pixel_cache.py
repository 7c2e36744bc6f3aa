"""Pixels of training images: kept within a budget, and cropped within bounds."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from dico.images.load import load_image
from dico.training.pixel_cache import PixelCache, random_crops
from tests.training import tiny


@pytest.fixture
def images(tmp_path):
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    return [str(tmp_path / f"{index}.png") for index in range(3)]


def test_pixels_are_those_of_the_evaluator(world, images):
    evaluator = tiny.evaluator(world)
    bank = PixelCache(evaluator.preprocess)
    expected = torch.stack([evaluator.preprocess(load_image(uri)) for uri in images])
    assert torch.equal(bank.pixels(images), expected)
    assert torch.equal(bank.pixels(images[::-1]), expected.flip(0))


def test_only_what_the_budget_holds_is_kept(world, images):
    """Files are removed after the first look: what is kept still answers, the rest does not."""
    one_image = 3 * 32 * 32 * 4
    bank = PixelCache(tiny.evaluator(world).preprocess, budget_bytes=2 * one_image)
    before = bank.pixels(images)
    for uri in images:
        Image.new("RGB", (32, 32), "red").save(uri)
    after = bank.pixels(images)
    assert torch.equal(after[:2], before[:2])
    assert not torch.equal(after[2], before[2])


def test_no_budget_keeps_nothing(world, images):
    bank = PixelCache(tiny.evaluator(world).preprocess, budget_bytes=0)
    before = bank.pixels(images[:1])
    Image.new("RGB", (32, 32), "red").save(images[0])
    assert not torch.equal(bank.pixels(images[:1]), before)


def test_crops_are_views_of_their_own_image():
    """A ramp of columns and rows shows which square was cropped."""
    side = 20
    ramp = torch.arange(side, dtype=torch.float32)
    image = torch.stack(
        [ramp.expand(side, side), ramp[:, None].expand(side, side), ramp.new_zeros(side, side)]
    )
    crops = random_crops(image.expand(200, -1, -1, -1), torch.Generator().manual_seed(0))
    assert crops.shape == (200, 3, side, side)
    least = round(side * 0.5**0.5)
    for crop in crops:
        left, right = crop[0, 0, 0].item(), crop[0, 0, -1].item()
        top, bottom = crop[1, 0, 0].item(), crop[1, -1, 0].item()
        assert 0 <= left < right <= side - 1
        assert 0 <= top < bottom <= side - 1
        assert right - left == pytest.approx(bottom - top, abs=1e-4)
        assert least - 1.01 <= right - left <= side - 1
        assert not crop[2].any()
    widths = {round((crop[0, 0, -1] - crop[0, 0, 0]).item()) for crop in crops}
    assert len(widths) >= 5


def test_crop_of_the_whole_area_is_the_image():
    pixels = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    crops = random_crops(pixels, torch.Generator().manual_seed(0), least_area=1.0)
    assert torch.allclose(crops, F.interpolate(pixels, (8, 8), mode="bilinear"))


def test_crops_follow_their_generator():
    pixels = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    first, again, other = (
        random_crops(pixels, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
