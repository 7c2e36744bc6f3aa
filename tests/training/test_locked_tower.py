"""Image tokens of a tower that no longer learns."""

import torch

from dico.training.locked_tower import LockedTower

URIS = [f"{number}.png" for number in range(70)]


class Counting:
    def __init__(self):
        self.asked = []

    def __call__(self, uris):
        self.asked += uris
        numbers = torch.tensor([float(uri.split(".")[0]) for uri in uris], requires_grad=True)
        return numbers[:, None, None].expand(-1, 2, 3)


def test_each_image_is_encoded_once():
    encode = Counting()
    tower = LockedTower(encode, URIS * 2)
    tokens = tower.tokens(["3.png", "69.png", "3.png"])
    assert tokens[:, 0, 0].tolist() == [3, 69, 3]
    assert not tokens.requires_grad
    assert encode.asked == URIS


def test_what_does_not_fit_is_encoded_each_time():
    encode = Counting()
    tower = LockedTower(encode, URIS, budget_bytes=64 * 2 * 3 * 4)
    assert tower.tokens(["69.png", "2.png", "69.png"])[:, 0, 0].tolist() == [69, 2, 69]
    assert tower.tokens(["69.png"]).shape == (1, 2, 3)
    assert encode.asked == [*URIS, "69.png", "69.png"]
