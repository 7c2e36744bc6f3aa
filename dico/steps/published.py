"""An evaluator out of published weights, as they are or adapted to the user's images."""

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dico.data.manifest import Record
from dico.models.evaluator import CONFIG_FILE, Evaluator, save_evaluator
from dico.models.folds import FILE as FOLDS_FILE
from dico.models.tokenizer import Tokenizer
from dico.process.device import computing_device
from dico.steps.prepare_weights import resolve_evaluator
from dico.storage import open_store
from dico.storage.digests import DIGESTS
from dico.training.configs import EvaluatorTrainingConfig
from dico.training.model_folder import describe_training
from dico.training.positives import learn_vocabulary
from dico.training.resilience.checkpoint import Checkpoints
from dico.training.resilience.history import History
from dico.weights.keeping import at_hand, keep
from dico.weights.pins import Pins, pins_from_json, pins_to_json
from dico.weights.prepare import ClipSource, prepare_evaluator


def publish_evaluator(
    folder: Path,
    settings: EvaluatorTrainingConfig,
    pins: Pins,
    train: Sequence[Record],
    validation: Sequence[Record],
    seed: int,
    checkpoints: Checkpoints,
    facts: Mapping[str, Any],
) -> None:
    """Writes an evaluator's folder, with how it came about in training.json.

    Args:
        folder: where to.
        settings: what is adapted, and the captioner's words.
        pins: the published weights by role.
        train: images to adapt to.
        validation: images that retrieval is measured on.
        seed: seed of the order and of low-rank updates.
        checkpoints: of the adaptation.
        facts: what else training.json says.
    """
    vocabulary = _vocabulary(settings, train)
    with ExitStack() as stack:
        paths = {role: stack.enter_context(at_hand(pin)) for role, pin in pins.items()}
        if is_evaluator(paths["clip"]):
            shutil.copytree(paths["clip"], folder, dirs_exist_ok=True)
        else:
            sources = {
                role: ClipSource(str(path), architecture=pins[role].architecture)
                for role, path in paths.items()
            }
            prepare_evaluator(
                folder,
                sources["clip"],
                sources.get("pac"),
                sources.get("tower"),
                settings.w,
                settings.prompt,
                vocabulary,
            )
    told = {**facts, "published": json.loads(pins_to_json(pins)), "adapted": settings.adapt}
    if settings.adapt == "none":
        if not is_evaluator(folder) or not (folder / "training.json").is_file():
            describe_training(folder, History(), told)
        Evaluator.load(folder)
        return
    _adapt(folder, settings, train, validation, seed, checkpoints, told)


def pins_of(
    settings: EvaluatorTrainingConfig, section: str, store: str, weights: str
) -> dict[str, Any]:
    """The pins that prepare_weights made, or made now where a stage is run by itself."""
    pins = pins_from_json(weights)
    if pins:
        return pins
    opened = open_store(store)
    found = resolve_evaluator(settings, section, opened)
    return {role: keep(resolved, opened) for role, resolved in found.items()}


def is_evaluator(path: Path) -> bool:
    """Whether a folder is an evaluator's of ours."""
    names = (CONFIG_FILE, "clip.safetensors", DIGESTS)
    return all((path / name).is_file() for name in names)


def _adapt(
    folder: Path,
    settings: EvaluatorTrainingConfig,
    train: Sequence[Record],
    validation: Sequence[Record],
    seed: int,
    checkpoints: Checkpoints,
    facts: Mapping[str, Any],
) -> None:
    """Replaces the tuned weights of an evaluator's folder by adapted ones."""
    from dataclasses import replace

    from safetensors.torch import load_file

    from dico.training.adapt import adapt

    evaluator = Evaluator.load(folder, "pac", computing_device())
    adapted = adapt(evaluator, train, validation, settings, seed, checkpoints)
    base = load_file(folder / "clip.safetensors")
    third = folder / "tower.safetensors"
    config = Evaluator.load(folder, "clip").config
    tokenizer, own = evaluator.tokenizer, folder / "vocabulary"
    (folder / FOLDS_FILE).unlink(missing_ok=True)  # of weights that are others now
    save_evaluator(
        folder,
        replace(config, tuned=True),
        tokenizer,
        base,
        adapted.weights,
        load_file(third) if third.is_file() else None,
        Tokenizer.load(own) if own.is_dir() else None,
    )
    told = {**facts, "retrieval": {"before": adapted.before, "after": adapted.after}}
    describe_training(folder, History(adapted.history), told)
    for name, value in adapted.after.items():
        print(f"evaluator: {name} on validation {adapted.before.get(name, 0):.3f} -> {value:.3f}")


def _vocabulary(settings: EvaluatorTrainingConfig, train: Sequence[Record]) -> Tokenizer | None:
    if settings.vocabulary == "clip":
        return None
    return learn_vocabulary(train, settings.vocab_size)
