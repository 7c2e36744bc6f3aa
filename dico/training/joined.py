"""An evaluator of two published towers, joined on a user's own images and captions.

The towers come out of installed packages (`dico.weights.packages`) and stay frozen; the maps between
them are trained (`dico.training.projections`). There are no tuned weights beside the base ones: PAC-S
and CLIP-S are by the same joined towers.
"""

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from dico.data.manifest import Record
from dico.errors import DataError
from dico.models.encoders import EncoderConfig, TextTokenizer, build_encoder, load_tokenizer
from dico.models.evaluator import Evaluator, EvaluatorConfig, save_evaluator
from dico.models.folds import Folds
from dico.models.sources import write_sources
from dico.models.tokenizer import Tokenizer
from dico.process.progress import progress
from dico.training.configs import EvaluatorTrainingConfig
from dico.training.folds import train_folds
from dico.training.model_folder import describe_training
from dico.training.positives import learn_vocabulary
from dico.training.projections import pooled, train_projections
from dico.training.resilience.history import History, Rows
from dico.weights.encoders import read_encoder
from dico.weights.packages import PREFIX, Pair, find_pair, write_pair


@dataclasses.dataclass(frozen=True)
class JoinedEvaluator:
    """What `join_towers` returns."""

    evaluator: Evaluator
    """Frozen towers and trained maps."""
    tokenizer: TextTokenizer
    """What its text tower reads."""
    vocabulary: Tokenizer
    """The captioner's words, learnt from the training captions."""
    pair: Pair
    """Where the towers come from."""
    history: Rows
    """Logged values."""
    folds: Folds | None
    """Maps that have not seen an image, for rewards; None where ``reward_folds`` asks for none."""

    def save(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Writes an evaluator's folder, how it was trained, and where its weights come from."""
        weights = self.evaluator.model.state_dict()
        save_evaluator(
            folder,
            self.evaluator.config,
            self.tokenizer,
            weights,
            pac_weights=None,
            vocabulary=self.vocabulary,
        )
        if self.folds is not None:
            self.folds.save(folder)
        write_sources(folder, self.pair.sources)
        describe_training(folder, History(self.history), facts)


def join_towers(
    train: Sequence[Record],
    validation: Sequence[Record],
    config: EvaluatorTrainingConfig,
    seed: int,
    device: torch.device,
) -> JoinedEvaluator:
    """Reads the towers that ``config.weights`` names and trains the maps between them.

    Raises:
        ConfigError: no such towers, or their packages are not installed.
        DataError: a package's files are not those that were published; or no training images, or
            too few for their folds.
    """
    if not train:
        raise DataError("evaluator: the manifest has no training images")
    pair = find_pair(config.weights.removeprefix(PREFIX), "evaluator.weights")
    with tempfile.TemporaryDirectory(prefix="towers-") as working:
        evaluator = _read(pair, Path(working), config)
    evaluator.model.to(device)
    with progress("towers", total=len(train) + len(validation), unit="image") as bar:
        seen = pooled(train, evaluator, bar.advance)
        held_out = pooled(validation, evaluator, bar.advance)
    history = train_projections(seen, held_out, evaluator.model, config, seed)
    folds = train_folds(train, seen, evaluator.model, config, seed) if config.reward_folds else None
    vocabulary = learn_vocabulary(train, config.vocab_size)
    return JoinedEvaluator(evaluator, evaluator.tokenizer, vocabulary, pair, history, folds)


def _read(pair: Pair, working: Path, config: EvaluatorTrainingConfig) -> Evaluator:
    """The towers with untrained maps."""
    write_pair(pair, working / "pair", config.embed_dim)
    found = read_encoder(working / "pair")
    architecture = found.config
    assert found.save_tokenizer is not None
    assert isinstance(architecture, EncoderConfig)
    found.save_tokenizer(working / "tokenizer")
    model = build_encoder(architecture.library, architecture.settings)
    model.load_state_dict(found.tensors)
    settings = EvaluatorConfig(
        **dataclasses.asdict(found.pixels),
        clip=architecture,
        tuned=False,
        w=config.w,
        prompt=config.prompt,
    )
    return Evaluator(settings, model, load_tokenizer(architecture, working / "tokenizer"))
