"""Policies from what a user has: a captioner in memory, or a folder that training wrote."""

from pathlib import Path

import torch

from dico.models.captioner import Captioner
from dico.models.huggingface import POLICY_FILE, HuggingFaceCaptioner, load
from dico.policy.huggingface import HuggingFacePolicy
from dico.policy.paper import PaperPolicy
from dico.policy.protocol import Policy


def policy_of(captioner: Captioner | HuggingFaceCaptioner | Policy) -> Policy:
    """The policy that trains and captions by ``captioner``; a policy is its own."""
    if isinstance(captioner, Captioner):
        return PaperPolicy(captioner)
    if isinstance(captioner, HuggingFaceCaptioner):
        return HuggingFacePolicy(captioner)
    return captioner


def load_policy(folder: str | Path, device: str | torch.device = "cpu") -> Policy:
    """The policy that `Policy.save` wrote, of whichever architecture, in eval mode.

    Raises:
        DigestError: a file is not what was written.
        DataError: a file is missing or is not what its name says.
    """
    if (Path(folder) / POLICY_FILE).is_file():
        return HuggingFacePolicy(load(folder, device))
    return PaperPolicy(Captioner.load(folder, device))
