"""One rank of `test_distributed`: ``python -m tests.training.rank STAGE WORLD STORE OUT``."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from dico.training.configs import FinetuneConfig, XEConfig
from dico.training.distributed import join_world
from tests.training import tiny

XE = XEConfig(
    num_steps=3,
    batch_size=24,
    captions_per_image=3,
    micro_batch_size=6,
    validate_every_steps=3,
    num_validation_images=6,
    checkpoint_every_steps=2,
)
DICO = FinetuneConfig(
    num_steps=3,
    batch_size=8,
    micro_batch_size=3,
    learning_rate=1e-4,
    validate_every_steps=3,
    num_validation_images=6,
    checkpoint_every_steps=2,
)


def main(stage: str, world: Path, store: Path, output: Path) -> None:
    torch.set_num_threads(1)
    with join_world() as ranks:
        captioner, state = tiny.train(world, store, XE if stage == "xe" else DICO, ranks)
        state.history.rows[-1].pop("seconds")
        values = {k: torch.tensor(v) for k, v in state.history.rows[-1].items()}
        weights = {f"weights/{k}": v.contiguous() for k, v in captioner.state_dict().items()}
        save_file({**weights, **values}, output / f"{ranks.rank}.safetensors")


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
