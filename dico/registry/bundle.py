"""A registered version's captioner, with the vision tower that it sees through."""

import json
from pathlib import Path
from typing import NamedTuple

import torch

from dico.configuration.schema import from_dict
from dico.decoding import DecodingConfig
from dico.models.evaluator import Evaluator, Weights
from dico.policy import Policy, load_policy
from dico.registry.version import CAPTIONER, EVALUATOR
from dico.training.model_folder import TRAINING_FILE


class Bundle(NamedTuple):
    """All that captioning needs."""

    policy: Policy
    """The captioner."""
    tower: Evaluator | None
    """The vision tower that it sees through; None where it sees the pixels itself."""
    decoding: DecodingConfig
    """The search that it was trained and judged with."""


def load_version(folder: Path, device: str | torch.device = "cpu") -> Bundle:
    """The parts of a version's folder, checked by their digests, on ``device``.

    Raises:
        DataError: a part is missing.
        DigestError: a part is not what was registered.
    """
    policy = load_policy(folder / CAPTIONER, device)
    training = json.loads((folder / CAPTIONER / TRAINING_FILE).read_text(encoding="utf-8"))
    weights: Weights = training["tower"]
    decoding = from_dict(DecodingConfig, training.get("decoding", {}), "decoding")
    sees = policy.preprocess is not None
    tower = None if sees else Evaluator.load(folder / EVALUATOR, weights, device)
    return Bundle(policy, tower, decoding)
