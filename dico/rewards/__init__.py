"""Scores of candidates, on which a captioner is fine-tuned."""

from dico.rewards.build import RewardContext, WeightedReward, build_reward
from dico.rewards.cider import CiderReward
from dico.rewards.clip import ClipReward, RefClipReward
from dico.rewards.protocol import ImageEmbeddings, Reward
from dico.rewards.retokenised import RetokenisedReward

__all__ = [
    "CiderReward",
    "ClipReward",
    "ImageEmbeddings",
    "RefClipReward",
    "RetokenisedReward",
    "Reward",
    "RewardContext",
    "WeightedReward",
    "build_reward",
]
