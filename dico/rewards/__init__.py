"""Scores of candidates, on which a captioner is fine-tuned."""

from dico.rewards.clip import ClipReward
from dico.rewards.protocol import Reward

__all__ = ["ClipReward", "Reward"]
