"""The policy: one interface over the paper's captioner and others."""

from dico.policy.folder import load_policy, policy_of, save_policy
from dico.policy.huggingface import HuggingFacePolicy
from dico.policy.paper import PaperPolicy
from dico.policy.plugin import CaptionerClass, CaptionerStart, start_captioner
from dico.policy.protocol import CaptionTokenizer, Policy, ReferenceModel

__all__ = [
    "CaptionTokenizer",
    "CaptionerClass",
    "CaptionerStart",
    "HuggingFacePolicy",
    "PaperPolicy",
    "Policy",
    "ReferenceModel",
    "load_policy",
    "policy_of",
    "save_policy",
    "start_captioner",
]
