"""Maps that have not seen an image: which are asked of which image, and their file."""

import dataclasses
import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from dico.errors import DataError
from dico.models.folds import FILE, Folds

NAMES = [hashlib.sha256(bytes([n])).hexdigest() for n in range(5)]
OWN = [1, 0, 1, 0, 1]


@pytest.fixture
def folds():
    """Two folds and the evaluator's own maps: text widths 3, embeddings of 4, five images."""
    torch.manual_seed(0)
    digests = np.frombuffer(b"".join(map(bytes.fromhex, NAMES)), np.uint8).reshape(5, 32)
    return Folds(
        text_weights=torch.randn(3, 4, 3),
        text_biases=torch.randn(3, 4),
        scales=torch.tensor([3.0, 5.0, 7.0]),
        images=F.normalize(torch.randn(10, 4), dim=-1),
        sets=torch.tensor([*OWN, *[2] * 5]),
        digests=torch.from_numpy(digests.copy()),
    )


def naive(folds, which, texts, images, place):
    mapped = texts @ folds.text_weights[which].T + folds.text_biases[which]
    exponents = [
        [torch.exp(folds.scales[which] * F.cosine_similarity(c, i, dim=0)) for i in images]
        for c in mapped
    ]
    return torch.stack([torch.log(row[place] / sum(row)) for row in exponents])


@pytest.mark.parametrize("number", range(5))
def test_an_image_is_looked_for_among_those_of_its_fold(folds, number):
    texts = torch.randn(6, 3)
    same = [n for n in range(5) if OWN[n] == OWN[number]]
    expected = naive(folds, OWN[number], texts, folds.images[same], same.index(number))
    found = folds.log_retrieval(NAMES[number], texts)
    assert torch.allclose(found, expected, atol=1e-5)


def test_an_added_image_is_looked_for_among_all_by_maps_that_have_not_seen_it(folds):
    texts, image = torch.randn(2, 3), F.normalize(torch.randn(4), dim=0)
    expected = naive(folds, 2, texts, [*folds.images[5:], image], 5)
    assert not folds.knows("0" * 64)
    assert torch.allclose(folds.log_retrieval("0" * 64, texts, image), expected, atol=1e-5)


def test_what_is_saved_is_loaded(folds, tmp_path):
    folds.save(tmp_path)
    loaded = Folds.load(tmp_path)
    for field in dataclasses.fields(Folds):
        assert torch.equal(getattr(loaded, field.name), getattr(folds, field.name))
    assert all(map(loaded.knows, NAMES))


@pytest.mark.parametrize(
    "change",
    [
        {"sets": torch.zeros(4, dtype=torch.long)},
        {"sets": torch.full((10,), 3)},
        {"scales": torch.ones(2)},
        {"digests": torch.zeros(5, 16, dtype=torch.uint8)},
        {"images": torch.zeros(10, 5)},
        {"more": torch.ones(1)},
    ],
)
def test_a_file_that_does_not_fit_is_named(folds, tmp_path, change):
    kept = {field.name: getattr(folds, field.name) for field in dataclasses.fields(Folds)}
    save_file(kept | change, tmp_path / FILE)
    with pytest.raises(DataError, match=r"folds\.safetensors: not an evaluator's folds"):
        Folds.load(tmp_path)
