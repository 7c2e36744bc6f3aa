"""Settings of the toy dataset."""

import dataclasses
from typing import Annotated

from dico.configuration.ranges import PositiveInt, Range, Ranged


@dataclasses.dataclass(frozen=True)
class ToyConfig(Ranged):
    """How large the toy dataset is."""

    num_train: PositiveInt = 4000
    """Training images; each has a second rendering and a paraphrase as added positives."""
    num_validation: PositiveInt = 200
    """Validation images."""
    num_test: PositiveInt = 400
    """Test images."""
    num_captions: PositiveInt = 5
    """Captions per image."""
    image_side_px: Annotated[int, Range(low=16)] = 64
    """Side of the square images, pixels."""
    seed: Annotated[int, Range(low=-1)] = -1
    """Seed of the scenes; -1 for the run's. With one of its own, runs of several seeds train on one
    dataset."""

    def seed_of(self, run_seed: int) -> int:
        """The seed of the scenes in a run of ``run_seed``."""
        return run_seed if self.seed < 0 else self.seed
