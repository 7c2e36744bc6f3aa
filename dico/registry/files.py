"""A registry in a folder or below an s3:// prefix: nothing to install, nothing to run.

```
<name>/models/<digest>/        published folders, by the digest of their content
<name>/versions/000001.json    a version exists when its record exists
<name>/aliases/champion.json
```
A folder is published before its record is created, and the record is created only where there is
none, so racing writers get different numbers, without gaps, and a reader never sees half a version.
"""

import dataclasses
import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dico.errors import ConfigError, DataError, DigestError
from dico.registry.port import CHAMPION, Version
from dico.storage import open_store, verify_digests, write_digests
from dico.storage.local import LocalStore

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class FileRegistry:
    """Models, versions and aliases as files; see `dico.registry.port.Registry`."""

    def __init__(self, uri: str | Path) -> None:
        self._store = open_store(uri)
        self.uri = self._store.uri

    def register(
        self, name: str, folder: Path, metadata: Mapping[str, Any], identity: str
    ) -> Version:
        _check_name(name)
        known = next((v for v in self.versions(name) if v.identity == identity), None)
        if known:
            return known
        digest = write_digests(folder)
        key = f"{name}/models/{digest[:32]}"
        if not self._store.exists(key):
            self._store.publish(folder, key)
        while True:
            version = Version(
                name=name,
                number=len(self._record_keys(name)) + 1,
                uri=f"{self.uri}/{key}",
                digest=digest,
                identity=identity,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                metadata=dict(metadata),
            )
            if self._create(version):
                return version

    def names(self) -> list[str]:
        return sorted({key.split("/")[0] for key in self._store.list() if "/versions/" in key})

    def versions(self, name: str) -> list[Version]:
        _check_name(name)
        return [self._read_version(key) for key in self._record_keys(name)]

    def get(self, name: str, number: int) -> Version:
        _check_name(name)
        key = _record_key(name, number)
        if not self._store.exists(key):
            raise DataError(f"{self.uri}: there is no version {number} of {name}")
        return self._read_version(key)

    def fetch(self, version: Version, cache: Path) -> Path:
        key = version.uri.removeprefix(f"{self.uri}/")
        if isinstance(self._store, LocalStore):
            folder = self._store.root / key
            verify_digests(folder, version.digest)
            return folder
        folder = cache / version.digest
        if folder.is_dir():
            verify_digests(folder, version.digest)
            return folder
        return self._store.fetch(key, folder, version.digest)

    def set_alias(self, name: str, alias: str, number: int, reason: str) -> None:
        _check_name(alias)
        self.get(name, number)
        previous = self.resolve(name, alias)
        content = {
            "number": number,
            "previous": previous.number if previous else 0,
            "reason": reason,
            "changed": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._store.write_bytes(_alias_key(name, alias), _seal(content))

    def resolve(self, name: str, alias: str) -> Version | None:
        _check_name(name)
        key = _alias_key(name, alias)
        if not self._store.exists(key):
            return None
        content = _unseal(self._store.read_bytes(key), f"{self.uri}/{key}")
        return self.get(name, int(content["number"]))

    def champion(self, name: str) -> Version | None:
        return self.resolve(name, CHAMPION)

    def _create(self, version: Version) -> bool:
        """Creates the record; True also when it was created but the answer got lost."""
        content = dataclasses.asdict(version) | {"token": uuid.uuid4().hex}
        key = _record_key(version.name, version.number)
        data = _seal(content)
        return self._store.create(key, data) or self._store.read_bytes(key) == data

    def _record_keys(self, name: str) -> list[str]:
        keys = self._store.list(f"{name}/versions")
        return [key for key in keys if key.endswith(".json")]

    def _read_version(self, key: str) -> Version:
        content = _unseal(self._store.read_bytes(key), f"{self.uri}/{key}")
        fields = {field.name for field in dataclasses.fields(Version)}
        moved = f"{self.uri}/{content['name']}/models/{content['digest'][:32]}"
        return Version(**{k: v for k, v in content.items() if k in fields} | {"uri": moved})


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r}: a name is letters, digits, dots, dashes and underscores")


def _record_key(name: str, number: int) -> str:
    return f"{name}/versions/{number:06d}.json"


def _alias_key(name: str, alias: str) -> str:
    return f"{name}/aliases/{alias}.json"


def _seal(content: Mapping[str, Any]) -> bytes:
    """JSON with its own SHA-256, so that a flipped bit is noticed."""
    text = json.dumps(content, sort_keys=True)
    seal = hashlib.sha256(text.encode()).hexdigest()
    return json.dumps({"sha256": seal, "content": content}, sort_keys=True, indent=1).encode()


def _unseal(data: bytes, where: str) -> dict[str, Any]:
    try:
        sealed = json.loads(data)
        content: dict[str, Any] = sealed["content"]
        text = json.dumps(content, sort_keys=True)
        if sealed["sha256"] == hashlib.sha256(text.encode()).hexdigest():
            return content
    except (ValueError, KeyError, TypeError):
        pass
    raise DigestError(f"{where}: its bytes changed since it was written; restore it from a copy")
