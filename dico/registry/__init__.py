"""Registered models: immutable numbered versions, and aliases that move only by decision."""

from dico.registry.open import open_registry
from dico.registry.port import CHAMPION, Registry, Version, cache_folder
from dico.registry.version import MODEL_CARD, identity, stage_version

__all__ = [
    "CHAMPION",
    "MODEL_CARD",
    "Registry",
    "Version",
    "cache_folder",
    "identity",
    "open_registry",
    "stage_version",
]
