"""A registered version's captioner, with the vision tower that it sees through."""

import json
from pathlib import Path

from dico.models.captioner import Captioner
from dico.models.evaluator import Evaluator, Weights
from dico.registry.version import CAPTIONER, EVALUATOR
from dico.steps.model_folder import TRAINING_FILE


def load_version(folder: Path) -> tuple[Captioner, Evaluator]:
    """Captioner and tower of a version's folder, checked by their digests.

    Raises:
        DataError: a part is missing.
        DigestError: a part is not what was registered.
    """
    captioner = Captioner.load(folder / CAPTIONER)
    training = json.loads((folder / CAPTIONER / TRAINING_FILE).read_text(encoding="utf-8"))
    tower: Weights = training["tower"]
    return captioner, Evaluator.load(folder / EVALUATOR, tower)
