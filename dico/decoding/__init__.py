"""Captions from a captioner: beam search under two rules, greedy, sampling."""

from dico.decoding.beam import beam_search
from dico.decoding.config import Candidates, DecodingConfig
from dico.decoding.rollout import greedy, sample

__all__ = ["Candidates", "DecodingConfig", "beam_search", "greedy", "sample"]
