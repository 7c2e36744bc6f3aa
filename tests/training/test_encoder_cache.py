"""What is kept is what is made, and no more than the budget allows."""

import torch

from dico.training.encoder_cache import EncoderCache


def test_images_are_encoded_once_within_the_budget():
    seen = []

    def encode(images: torch.Tensor) -> torch.Tensor:
        seen.extend(images[:, 0].tolist())
        return 2 * images

    kept = EncoderCache(encode, gigabytes=2.5 * 3 * 4 / 1e9)
    images = torch.tensor([[1.0, 0, 0], [2.0, 0, 0], [3.0, 0, 0]])
    assert torch.equal(kept([7, 8, 9], images), 2 * images)
    assert torch.equal(kept([9, 7, 8], images[[2, 0, 1]]), 2 * images[[2, 0, 1]])
    assert seen == [1.0, 2.0, 3.0, 3.0]


def test_what_is_kept_has_no_graph():
    weight = torch.ones(3, requires_grad=True)
    kept = EncoderCache(lambda images: images * weight, gigabytes=1.0)
    assert not kept([0], torch.ones(1, 3)).requires_grad


def test_without_a_budget_a_batch_is_encoded_as_it_is():
    sizes = []
    kept = EncoderCache(lambda images: sizes.append(len(images)) or images, gigabytes=0.0)
    assert torch.equal(kept([0, 1], torch.ones(2, 3)), torch.ones(2, 3))
    assert sizes == [2]
