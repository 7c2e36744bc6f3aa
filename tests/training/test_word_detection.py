"""Words of captions, learnt from where in an image they may be."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from dico.data.manifest import Record
from dico.models.tokenizer import Tokenizer
from dico.training.word_detection import WordDetection, overlapping_windows

CAPTIONS = ["a red ring", "a blue ring", "a red cross", "a blue cross"]


def record(number, caption):
    values = dict.fromkeys(Record.__annotations__, "")
    values |= {"image_id": str(number), "captions": (caption,), "positive_captions": ()}
    return SimpleNamespace(**values)


@pytest.fixture
def detection():
    torch.manual_seed(0)
    records = [record(i, caption) for i, caption in enumerate(CAPTIONS)]
    return WordDetection(records, Tokenizer.train(CAPTIONS * 4, 300), 8, 12)


def test_a_word_is_given_to_the_images_of_whose_captions_it_is_one(detection):
    # "a" is said of every image and shows nothing; the ids that frame captions are no words.
    columns = {tuple(column) for column in detection.given.T.tolist()}
    assert columns == {(1, 0, 1, 0), (0, 1, 0, 1), (1, 1, 0, 0), (0, 0, 1, 1)}


def test_the_loss_is_that_of_a_noisy_or_over_places(detection):
    tokens = torch.randn(2, 5, 8)  # five places are no grid
    chance = detection.words(tokens).double().sigmoid()  # (2, 5, W)
    present = 1 - (1 - chance).prod(dim=1)
    expected = F.binary_cross_entropy(present, detection.given[[3, 1]].double())
    torch.testing.assert_close(detection.loss(tokens, [3, 1]).double(), 10 * expected)


def test_it_learns_where_words_are_without_being_told(detection):
    tokens = 0.1 * torch.randn(4, 64, 8)
    for image, caption in enumerate(CAPTIONS):
        for place, word in ((9, caption.split()[1]), (54, caption.split()[2])):
            tokens[image, place, ["red", "blue", "ring", "cross"].index(word)] = 3.0
    optimizer = torch.optim.Adam(detection.parameters(), lr=0.1)
    losses = []
    for _ in range(60):
        loss = detection.loss(tokens, range(4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]


def test_windows_are_half_the_side_and_overlap():
    tokens = torch.arange(64.0).view(1, 64, 1)
    assert overlapping_windows(tokens).flatten().tolist() == [27, 29, 31, 43, 45, 47, 59, 61, 63]
    assert overlapping_windows(tokens[:, :10]).shape == (1, 10, 1)
    assert overlapping_windows(tokens[:, :4]).shape == (1, 4, 1)
