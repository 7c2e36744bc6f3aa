"""Scores of candidates, on which a captioner is fine-tuned.

Checking a reward's name loads no torch; everything else is loaded when it is first asked for.
"""

import importlib
from typing import TYPE_CHECKING

from dico.rewards.names import parse_reward

if TYPE_CHECKING:
    from dico.rewards.build import RewardContext, WeightedReward, build_reward
    from dico.rewards.cider import CiderReward
    from dico.rewards.clip import ClipReward, RefClipReward
    from dico.rewards.generative import GenerativeReward
    from dico.rewards.protocol import ImageEmbeddings, Reward, RewardBatch
    from dico.rewards.retokenised import RetokenisedReward
    from dico.rewards.self_retrieval import SelfRetrievalReward

__all__ = [
    "CiderReward",
    "ClipReward",
    "GenerativeReward",
    "ImageEmbeddings",
    "RefClipReward",
    "RetokenisedReward",
    "Reward",
    "RewardBatch",
    "RewardContext",
    "SelfRetrievalReward",
    "WeightedReward",
    "build_reward",
    "parse_reward",
]

_MODULES = {
    "CiderReward": "cider",
    "ClipReward": "clip",
    "GenerativeReward": "generative",
    "ImageEmbeddings": "protocol",
    "RefClipReward": "clip",
    "RetokenisedReward": "retokenised",
    "Reward": "protocol",
    "RewardBatch": "protocol",
    "RewardContext": "build",
    "SelfRetrievalReward": "self_retrieval",
    "WeightedReward": "build",
    "build_reward": "build",
}


def __getattr__(name: str) -> object:
    """Loads what is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
