"""One trainer as a process of its own: ``python -m tests.reliability.trainer STAGE WORLD STORE OUT``.

The same command again goes on where the last one stopped; ``OUT`` appears at the end, a JSON object
with a digest of all weights and of the history without its times.
"""

import dataclasses
import hashlib
import json
import sys
from pathlib import Path

import torch

from dico.process.exits import exit_codes
from dico.storage import atomic_write
from dico.training.configs import EvaluatorTrainingConfig, FinetuneConfig, XEConfig
from dico.training.distributed import World, join_world
from dico.training.evaluator import train_evaluator
from tests.training import tiny

STAGES = ("xe", "dico", "evaluator", "scst")
EVALUATOR = EvaluatorTrainingConfig(
    image_size_px=32,
    vision_layers=(1, 1, 1, 1),
    vision_width=4,
    text_width=16,
    text_layers=1,
    head_width=8,
    embed_dim=16,
    context_tokens=16,
    vocab_size=300,
    num_clip_steps=7,
    num_pac_steps=7,
    batch_size=8,
    checkpoint_every_steps=2,
    validate_every_steps=3,
)
XE = XEConfig(
    num_steps=20,
    batch_size=24,
    captions_per_image=3,
    micro_batch_size=12,
    learning_rate=1e-2,
    schedule="cosine",
    validate_every_steps=7,
    num_validation_images=6,
    checkpoint_every_steps=3,
)
DICO = FinetuneConfig(
    num_steps=14,
    batch_size=8,
    micro_batch_size=4,
    learning_rate=3e-3,
    validate_every_steps=5,
    num_validation_images=6,
    checkpoint_every_steps=3,
)
SCST = dataclasses.replace(DICO, method="scst", candidates="sample")
CONFIGS = {"xe": XE, "dico": DICO, "scst": SCST}


def train(stage: str, world: Path, store: Path, ranks: World) -> dict:
    """Trains ``stage`` to its end and describes the result."""
    if stage == "evaluator":
        splits = [tiny.records(world, split) for split in ("train", "validation")]
        trained = train_evaluator(*splits, EVALUATOR, 1, tiny.checkpoints(store))
        weights = {f"clip/{k}": v for k, v in trained.clip_weights.items()}
        weights |= {f"pac/{k}": v for k, v in trained.pac_weights.items()}
        return describe(weights, trained.history)
    captioner, state = tiny.train(world, store, CONFIGS[stage], ranks)
    return describe(captioner.state_dict(), state.history.rows)


def describe(weights: dict[str, torch.Tensor], rows: list[dict]) -> dict:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().numpy().tobytes())
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    history = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    return {"weights": digest.hexdigest(), "history": history, "steps": rows[-1]["step"]}


def main(stage: str, world: str, store: str, output: str) -> None:
    torch.set_num_threads(1)
    with exit_codes(), join_world() as ranks:
        result = train(stage, Path(world), Path(store), ranks)
        if ranks.is_main:
            with atomic_write(output) as path:
                path.write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
