"""Step: trains the evaluator on the user's own images and captions."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dico.configuration.schema import from_json, to_dict
from dico.data.manifest import fingerprint, read_manifest
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
    """Trains a small CLIP by CLIP's and PAC's losses, joins two published towers, or takes weights.

    Args:
        manifest: Parquet file.
        config: `EvaluatorTrainingConfig` as JSON.
        seed: seed of the weights and the order.
        run_key: name of the checkpoints; empty to derive it.
        store: folder or s3:// prefix of the checkpoints.
        output_evaluator: folder to write.
        weights: pins that prepare_weights gave for the evaluator; ``{}`` to make them now.
    """
    settings = from_json(EvaluatorTrainingConfig, config, "evaluator")
    use_deterministic_kernels()
    dataset, device, folder = fingerprint(manifest), computing_device(), Path(output_evaluator)
    images = evaluators_part(read_manifest(manifest, "train"), settings.judge_share)
    held_out = read_manifest(manifest, "validation")
    facts = {"dataset_fingerprint": dataset, "seed": seed, "config": json.loads(config)}
    if is_packaged(settings.weights):
        with tracked("train_evaluator", to_dict(settings)):
            joined = join_towers(images, held_out, settings, seed, device)
            rows_made(joined.history)
        joined.save(folder, facts)
        return
    pins = pins_of(settings, "evaluator", store, weights)
    inputs = (dataset, config, seed, *(pin.sha256 for pin in pins.values()))
    checkpoints = checkpoints_of("train-evaluator", store, run_key, *inputs)
    if pins:
        with tracked("train_evaluator", to_dict(settings)):
            publish_evaluator(folder, settings, pins, images, held_out, seed, checkpoints, facts)
        return
    with tracked("train_evaluator", to_dict(settings)):
        trained = train(images, held_out, settings, seed, checkpoints, device)
    save_trained(folder, trained, facts)


def save_trained(folder: Path, trained: TrainedEvaluator, facts: Mapping[str, Any]) -> None:
    """Writes an evaluator's folder: weights, the generative evaluator, how it was trained."""
    save_evaluator(
        folder, trained.config, trained.tokenizer, trained.clip_weights, trained.pac_weights
    )
    if trained.generative is not None:
        trained.generative.save(folder / FOLDER)
    describe_training(folder, History(trained.history), facts)
