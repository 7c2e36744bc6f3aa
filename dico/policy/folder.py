"""Policies from what a user has: a captioner in memory, or a folder that training wrote."""

from pathlib import Path

import torch

from dico.models.captioner import Captioner
from dico.models.huggingface import POLICY_FILE, HuggingFaceCaptioner, load
from dico.plugins import CAPTIONERS
from dico.policy.huggingface import HuggingFacePolicy
from dico.policy.paper import PaperPolicy
from dico.policy.plugin import ARCHITECTURE_FILE, load_captioner, name_architecture
from dico.policy.protocol import Policy


def policy_of(captioner: Captioner | HuggingFaceCaptioner | Policy) -> Policy:
    """The policy that trains and captions by ``captioner``; a policy is its own."""
    if isinstance(captioner, Captioner):
        return PaperPolicy(captioner)
    if isinstance(captioner, HuggingFaceCaptioner):
        return HuggingFacePolicy(captioner)
    return captioner


def load_policy(folder: str | Path, device: str | torch.device = "cpu") -> Policy:
    """The policy that `save_policy` wrote, of whichever architecture, in eval mode.

    Raises:
        DigestError: a file is not what was written.
        DataError: a file is missing or is not what its name says.
    """
    if (Path(folder) / ARCHITECTURE_FILE).is_file():
        return load_captioner(Path(folder), device)
    if (Path(folder) / POLICY_FILE).is_file():
        return HuggingFacePolicy(load(folder, device))
    return PaperPolicy(Captioner.load(folder, device))


def save_policy(policy: Policy, folder: str | Path) -> None:
    """Writes the folder that `load_policy` reads; training is over then."""
    policy.save(folder)
    if policy.architecture not in CAPTIONERS.built_in:
        name_architecture(policy, Path(folder))
