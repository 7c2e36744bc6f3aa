"""Registered models: immutable numbered versions, and aliases that move only by decision."""

from dico.registry.port import CHAMPION, Registry, Version, cache_folder, open_registry
from dico.registry.version import identity, stage_version

__all__ = [
    "CHAMPION",
    "Registry",
    "Version",
    "cache_folder",
    "identity",
    "open_registry",
    "stage_version",
]
