"""One rank of `test_distributed`: ``python -m tests.training.rank STAGE WORLD STORE OUT``.

``STAGE`` is xe, dico or the folder of a checkpoint of transformers.
"""

import dataclasses
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from dico.models.captioner_config import HuggingFaceConfig
from dico.models.huggingface import open_checkpoint
from dico.policy import HuggingFacePolicy
from dico.training.configs import FinetuneConfig, XEConfig
from dico.training.data import CaptioningData
from dico.training.distributed import World, join_world
from dico.training.pixel_cache import pixel_cache_of
from dico.training.resilience.state import TrainingState
from dico.training.xe import pretrain
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


CONFIGS = {"xe": XE, "dico": DICO}


def train_adapters(
    checkpoint: str, world: Path, store: Path, ranks: World
) -> tuple[torch.nn.Module, TrainingState]:
    """Low-rank updates of a captioner of transformers, by cross-entropy in bfloat16."""
    policy = HuggingFacePolicy(open_checkpoint(HuggingFaceConfig(checkpoint, lora_rank=4)))
    train = tiny.records(world, "train")
    data = CaptioningData(train, tiny.features(world), tiny.CPU, pixel_cache_of(policy))
    rough = dataclasses.replace(XE, precision="bfloat16")
    saved = tiny.checkpoints(store)
    state = pretrain(policy, data, tiny.validator(world), rough, 1, saved, ranks)
    return policy.trained, state


def main(stage: str, world: Path, store: Path, output: Path) -> None:
    torch.set_num_threads(1)
    with join_world() as ranks:
        if stage in CONFIGS:
            trained, state = tiny.train(world, store, CONFIGS[stage], ranks)
        else:
            trained, state = train_adapters(stage, world, store, ranks)
        state.history.rows[-1].pop("seconds")
        values = {k: torch.tensor(v) for k, v in state.history.rows[-1].items()}
        weights = {f"weights/{k}": v.contiguous() for k, v in trained.state_dict().items()}
        save_file({**weights, **values}, output / f"{ranks.rank}.safetensors")


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
