"""Captioners of other packages: classes under the entry-point group ``dico.captioners``.

A folder says in architecture.json whose captioner it holds; config.json, model.safetensors and what
else the class needs are the class's own. Digests are checked before the class sees the folder.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import torch

from dico.configuration.schema import check
from dico.errors import ConfigError, DataError
from dico.models.captioner_config import CaptionerSettings
from dico.models.tokenizer import Tokenizer
from dico.plugins import CAPTIONERS
from dico.policy.protocol import Policy
from dico.storage import verify_digests, write_digests

ARCHITECTURE_FILE = "architecture.json"


@dataclass(frozen=True)
class CaptionerStart:
    """What a new captioner is made from; torch's seed is set before."""

    settings: CaptionerSettings
    """Section ``captioner`` of the settings; ``options`` are the class's own."""
    tokenizer: Tokenizer
    """Vocabulary of the evaluator and of the training captions; a captioner may have its own."""
    num_image_tokens: int
    """Image tokens P of an image, as they are stored."""
    feature_width: int
    """Width F of an image token."""


class CaptionerClass(Protocol):
    """A class of captioners."""

    def start(self, given: CaptionerStart) -> Policy:
        """A new captioner, on the CPU."""

    def load(self, folder: Path) -> Policy:
        """What `Policy.save` wrote, on the CPU; nothing in it may be unpickled."""


def start_captioner(given: CaptionerStart) -> Policy:
    """A new captioner of the class that ``captioner.architecture`` names.

    Raises:
        ConfigError: no installed package has it, or the class names itself otherwise.
    """
    name = given.settings.architecture
    policy = _class_of(name).start(given)
    own = getattr(policy, "architecture", "")
    check(own == name, "captioner.architecture", own, f"the captioner's own must be {name}")
    return policy


def load_captioner(folder: Path, device: str | torch.device) -> Policy:
    """What `name_architecture` was called on, in eval mode.

    Raises:
        DigestError: a file is not what was written.
        DataError: its package is not installed, or the file does not name one.
    """
    verify_digests(folder)
    path = folder / ARCHITECTURE_FILE
    try:
        name = str(json.loads(path.read_text(encoding="utf-8"))["architecture"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: names no captioner: {error}") from None
    try:
        found = _class_of(name)
    except ConfigError as error:
        raise DataError(f"{folder}: {error}; install the package that has it") from None
    policy = found.load(folder)
    policy.module.to(device).eval()
    return policy


def name_architecture(policy: Policy, folder: Path) -> None:
    """Adds architecture.json to a saved captioner of another package, and its digests anew."""
    text = json.dumps({"format": 1, "architecture": policy.architecture})
    (folder / ARCHITECTURE_FILE).write_text(f"{text}\n", encoding="utf-8")
    write_digests(folder)


def _class_of(name: str) -> CaptionerClass:
    return cast(CaptionerClass, CAPTIONERS.load(name))
