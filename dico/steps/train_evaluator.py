"""Step: trains the evaluator on the user's own images and captions."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from dico.configuration.schema import from_json, to_dict, to_json
from dico.data.manifest import Record, fingerprint, read_manifest
from dico.models.evaluator import save_evaluator
from dico.models.generative import FOLDER
from dico.process.device import computing_device
from dico.steps.published import pins_of, publish_evaluator
from dico.tracking import rows_made
from dico.tracking.trackers import tracked
from dico.training.configs import EvaluatorTrainingConfig
from dico.training.determinism import use_deterministic_kernels
from dico.training.evaluator import TrainedEvaluator
from dico.training.evaluator import train_evaluator as train
from dico.training.halves import evaluators_part
from dico.training.joined import join_towers
from dico.training.malloc import keep_freed_memory
from dico.training.model_folder import describe_training
from dico.training.resilience.history import History
from dico.training.resilience.places import checkpoints_of
from dico.weights.packages import is_packaged


def train_evaluator(
    manifest: str,
    config: str,
    seed: int,
    run_key: str,
    store: str,
    output_evaluator: str,
    weights: str = "{}",
) -> None:
    """Trains a small CLIP by CLIP's and PAC's losses, joins two published towers, or takes weights."""
    settings = from_json(EvaluatorTrainingConfig, config, "evaluator")
    train_on(evaluators_part, "evaluator", manifest, settings, seed, seed, run_key, store,
             output_evaluator, weights)  # fmt: skip


def train_on(
    part: Callable[[list[Record], float], list[Record]],
    name: Literal["evaluator", "judge"],
    manifest: str,
    settings: EvaluatorTrainingConfig,
    seed: int,
    own_seed: int,
    run_key: str,
    store: str,
    output: str,
    weights: str,
) -> None:
    """Trains, joins or takes the evaluator or the judge, on its own part of the training images.

    Args:
        part: the training images that are its own, given ``settings.judge_share``.
        name: of its section of settings.
        manifest: Parquet file.
        settings: its size and training.
        seed: of the run, for the record.
        own_seed: of its weights and its order.
        run_key: name of the checkpoints; empty to derive it.
        store: folder or s3:// prefix of the checkpoints.
        output: folder to write.
        weights: pins of published weights; ``{}`` to make them now.
    """
    use_deterministic_kernels()
    keep_freed_memory()
    dataset, device, folder = fingerprint(manifest), computing_device(), Path(output)
    images = part(read_manifest(manifest, "train"), settings.judge_share)
    held_out = read_manifest(manifest, "validation")
    facts = {"dataset_fingerprint": dataset, "seed": seed, "config": to_dict(settings)}
    if is_packaged(settings.weights):
        with tracked(f"train_{name}", to_dict(settings)):
            joined = join_towers(images, held_out, settings, own_seed, device)
            rows_made(joined.history)
        joined.save(folder, facts)
        return
    pins = pins_of(settings, name, store, weights)
    inputs = (dataset, to_json(settings), own_seed, *(pin.sha256 for pin in pins.values()))
    checkpoints = checkpoints_of(f"train-{name}", store, run_key, *inputs)
    with tracked(f"train_{name}", to_dict(settings)):
        if pins:
            publish_evaluator(
                folder, settings, pins, images, held_out, own_seed, checkpoints, facts
            )
            return
        trained = train(images, held_out, settings, own_seed, checkpoints, device)
    save_trained(folder, trained, facts)


def save_trained(folder: Path, trained: TrainedEvaluator, facts: Mapping[str, Any]) -> None:
    """Writes an evaluator's folder: weights, the generative evaluator, how it was trained."""
    save_evaluator(
        folder, trained.config, trained.tokenizer, trained.clip_weights, trained.pac_weights
    )
    if trained.generative is not None:
        trained.generative.save(folder / FOLDER)
    describe_training(folder, History(trained.history), facts)
