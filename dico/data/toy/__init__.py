"""The small world: rendered scenes with human-like, incomplete captions, deterministic by seed."""

from dico.data.toy.world import (
    DATASET_FILE,
    ToyConfig,
    is_toy_dataset,
    toy_key,
    write_toy_dataset,
)

__all__ = ["DATASET_FILE", "ToyConfig", "is_toy_dataset", "toy_key", "write_toy_dataset"]
