"""Captions from a captioner: beam search under two rules, diverse beams, greedy, sampling.

Reading a `DecodingConfig` loads no torch; the searches do, when they are first asked for.
"""

import importlib
from typing import TYPE_CHECKING

from dico.decoding.config import Candidates, DecodingConfig, check_fits

if TYPE_CHECKING:
    from dico.decoding.beam import beam_search
    from dico.decoding.diverse import diverse_beam_search
    from dico.decoding.sampling import greedy, sample

__all__ = [
    "Candidates",
    "DecodingConfig",
    "beam_search",
    "check_fits",
    "diverse_beam_search",
    "greedy",
    "sample",
]

_MODULES = {
    "beam_search": "beam",
    "diverse_beam_search": "diverse",
    "greedy": "sampling",
    "sample": "sampling",
}


def __getattr__(name: str) -> object:
    """Loads the search that is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
