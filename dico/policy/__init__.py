"""What is trained and captions images: one protocol over the paper's captioner and others."""

from dico.policy.folder import load_policy, policy_of
from dico.policy.huggingface import HuggingFacePolicy
from dico.policy.paper import PaperPolicy
from dico.policy.protocol import CaptionTokenizer, Policy, ReferenceModel

__all__ = [
    "CaptionTokenizer",
    "HuggingFacePolicy",
    "PaperPolicy",
    "Policy",
    "ReferenceModel",
    "load_policy",
    "policy_of",
]
