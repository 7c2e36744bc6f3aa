"""A registered version's captioner, with the vision tower that it sees through."""

import json
from pathlib import Path
from typing import NamedTuple

from dico.config_schema import from_dict
from dico.decoding import DecodingConfig
from dico.models.captioner import Captioner
from dico.models.evaluator import Evaluator, Weights
from dico.registry.version import CAPTIONER, EVALUATOR
from dico.steps.model_folder import TRAINING_FILE


class Bundle(NamedTuple):
    """All that captioning needs."""

    captioner: Captioner
    """The model."""
    tower: Evaluator
    """The vision tower that it sees through, with its preprocessing."""
    decoding: DecodingConfig
    """The search that it was trained and judged with."""


def load_version(folder: Path) -> Bundle:
    """The parts of a version's folder, checked by their digests.

    Raises:
        DataError: a part is missing.
        DigestError: a part is not what was registered.
    """
    captioner = Captioner.load(folder / CAPTIONER)
    training = json.loads((folder / CAPTIONER / TRAINING_FILE).read_text(encoding="utf-8"))
    tower: Weights = training["tower"]
    decoding = from_dict(DecodingConfig, training.get("decoding", {}), "decoding")
    return Bundle(captioner, Evaluator.load(folder / EVALUATOR, tower), decoding)
