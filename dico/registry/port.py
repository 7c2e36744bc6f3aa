"""The one port through which models are registered and found, whatever keeps them.

A version is published whole under the next free number and never changes. An alias is a name that
points at a version; ``champion`` is the one that is used where nobody asks for another.
"""

import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dico.registry.folders import Published, check_name, fetch, publish
from dico.storage import Store

CHAMPION = "champion"


@dataclass(frozen=True, slots=True)
class Version:
    """One registered version of a model."""

    name: str
    """Name of the model that this is a version of."""

    number: int
    """1, 2, 3, ... without gaps."""

    uri: str
    """Where its folder lies."""

    digest: str
    """SHA-256 of the folder's digests.json."""

    identity: str
    """Equal for two versions that are the same model; see `dico.registry.version.identity`."""

    created: str
    """When it was registered, ISO 8601 in UTC."""

    metadata: Mapping[str, Any]
    """Lineage, metrics and whatever else was known at registration."""


class Registry(ABC):
    """Models, their versions and their aliases below one URI."""

    uri: str
    _store: Store

    def register(
        self, name: str, folder: Path, metadata: Mapping[str, Any], identity: str
    ) -> Version:
        """Publishes ``folder`` as the next version; the same model again gives its old version."""
        check_name(name)
        known = next((v for v in self.versions(name) if v.identity == identity), None)
        if known:
            self._complete(known)
            return known
        return self._add(name, publish(self._store, name, folder), metadata, identity)

    @abstractmethod
    def names(self) -> list[str]:
        """All models that have a version, sorted."""

    @abstractmethod
    def versions(self, name: str) -> list[Version]:
        """All versions of a model, oldest first; none for an unknown model."""

    @abstractmethod
    def get(self, name: str, number: int) -> Version:
        """One version; DataError when there is none."""

    def fetch(self, version: Version, cache: Path) -> Path:
        """The version's folder on this machine, checked by its digests, fetched if need be."""
        return fetch(version.uri, version.digest, cache)

    def set_alias(self, name: str, alias: str, number: int, reason: str) -> None:
        """Points ``alias`` at an existing version and records why."""
        check_name(alias)
        self.get(name, number)
        previous = self.resolve(name, alias)
        change = {
            "number": number,
            "previous": previous.number if previous else 0,
            "reason": reason,
            "changed": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._point(name, alias, change)

    def resolve(self, name: str, alias: str) -> Version | None:
        """The version that ``alias`` points at, if it was ever set."""
        change = self.last_change(name, alias)
        return self.get(name, int(change["number"])) if change else None

    @abstractmethod
    def last_change(self, name: str, alias: str) -> Mapping[str, Any]:
        """What `set_alias` recorded last: number, previous, reason, changed; empty if never set."""

    def champion(self, name: str) -> Version | None:
        """The version that the alias ``champion`` points at, if there is one."""
        return self.resolve(name, CHAMPION)

    @abstractmethod
    def _add(
        self, name: str, published: Published, metadata: Mapping[str, Any], identity: str
    ) -> Version:
        """Records a published folder as the next version."""

    @abstractmethod
    def _point(self, name: str, alias: str, change: Mapping[str, Any]) -> None:
        """Records what `last_change` gives."""

    def _complete(self, version: Version) -> None:  # noqa: B027 (not every registry needs it)
        """Does what an earlier registration of this version may have left undone."""


def cache_folder() -> Path:
    """Where fetched versions are kept: $XDG_CACHE_HOME/dico-models, else in the temporary folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or tempfile.gettempdir()) / "dico-models"
