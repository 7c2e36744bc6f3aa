"""A registry in a folder or below an s3:// prefix: nothing to install, nothing to run.

```
<name>/models/<digest>/        published folders, by the digest of their content
<name>/versions/000001.json    a version exists when its record exists
<name>/aliases/champion.json
```
A folder is published before its record is created, and the record is created only where there is
none, so racing writers get different numbers, without gaps, and a reader never sees half a version.
Records carry their own digest, and a signature where a key is configured.
"""

import dataclasses
import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from dico.errors import ConfigError, DataError, DigestError
from dico.registry.folders import Published, check_name, place_of
from dico.registry.port import Registry, Version
from dico.registry.signing import (
    PRIVATE_KEY_VARIABLE,
    PUBLIC_KEY_VARIABLE,
    sign_text,
    verify_text,
)
from dico.storage import open_store


class FileRegistry(Registry):
    """Models, versions and aliases as files; see `dico.registry.port.Registry`."""

    def __init__(self, uri: str | Path) -> None:
        self._store = open_store(uri)
        self.uri = self._store.uri

    def _add(
        self, name: str, published: Published, metadata: Mapping[str, Any], identity: str
    ) -> Version:
        while True:
            version = Version(
                name=name,
                number=self._last_number(name) + 1,
                uri=published.uri,
                digest=published.digest,
                identity=identity,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                metadata=dict(metadata),
            )
            if self._create(version):
                return version

    def names(self) -> list[str]:
        return sorted({key.split("/")[0] for key in self._store.list() if "/versions/" in key})

    def versions(self, name: str) -> list[Version]:
        check_name(name)
        return [self._read_version(key) for key in self._record_keys(name)]

    def get(self, name: str, number: int) -> Version:
        check_name(name)
        key = _record_key(name, number)
        if not self._store.exists(key):
            raise DataError(f"{self.uri}: there is no version {number} of {name}")
        return self._read_version(key)

    def _point(self, name: str, alias: str, change: Mapping[str, Any]) -> None:
        key = _alias_key(name, alias)
        self._store.write_bytes(key, _seal(dict(change), key))

    def last_change(self, name: str, alias: str) -> Mapping[str, Any]:
        check_name(name)
        key = _alias_key(name, alias)
        return self._read(key) if self._store.exists(key) else {}

    def _create(self, version: Version) -> bool:
        """Creates the record; whether it is this one that is there, whatever the answer said.

        An answer may get lost, and a store that checks its condition carelessly may let two win.
        """
        content = dataclasses.asdict(version) | {"token": uuid.uuid4().hex}
        key = _record_key(version.name, version.number)
        data = _seal(content, key)
        self._store.create(key, data)
        return self._store.read_bytes(key) == data

    def _record_keys(self, name: str) -> list[str]:
        keys = self._store.list(f"{name}/versions")
        return [key for key in keys if key.endswith(".json")]

    def _last_number(self, name: str) -> int:
        numbers = [PurePosixPath(key).stem for key in self._record_keys(name)]
        return max((int(number) for number in numbers if number.isdecimal()), default=0)

    def _read(self, key: str) -> dict[str, Any]:
        content = _unseal(self._store.read_bytes(key), f"{self.uri}/{key}")
        if content.get("record", key) != key:
            raise DigestError(
                f"{self.uri}/{key}: holds the record of {content['record']}, so it was moved; "
                "restore it from a copy"
            )
        return content

    def _read_version(self, key: str) -> Version:
        content = self._read(key)
        fields = {field.name for field in dataclasses.fields(Version)}
        moved = f"{self.uri}/{place_of(content['name'], content['digest'])}"
        return Version(**{k: v for k, v in content.items() if k in fields} | {"uri": moved})


def _record_key(name: str, number: int) -> str:
    return f"{name}/versions/{number:06d}.json"


def _alias_key(name: str, alias: str) -> str:
    return f"{name}/aliases/{alias}.json"


def _seal(content: Mapping[str, Any], key: str) -> bytes:
    """JSON that knows its place, with its own SHA-256, and a signature where keys are in use."""
    content = {**content, "record": key}
    text = json.dumps(content, sort_keys=True)
    sealed: dict[str, Any] = {"sha256": hashlib.sha256(text.encode()).hexdigest()}
    private_key = os.environ.get(PRIVATE_KEY_VARIABLE, "")
    if private_key:
        sealed["signature"] = sign_text(text, private_key)
    elif os.environ.get(PUBLIC_KEY_VARIABLE):
        raise ConfigError(
            f"{PUBLIC_KEY_VARIABLE} is set, so only signed records are trusted: set "
            f"{PRIVATE_KEY_VARIABLE} to write one"
        )
    return json.dumps(sealed | {"content": content}, sort_keys=True, indent=1).encode()


def _unseal(data: bytes, where: str) -> dict[str, Any]:
    try:
        sealed = json.loads(data)
        content: dict[str, Any] = sealed["content"]
        text = json.dumps(content, sort_keys=True)
        whole = sealed["sha256"] == hashlib.sha256(text.encode()).hexdigest()
        whole &= data == json.dumps(sealed, sort_keys=True, indent=1).encode()
        signature = str(sealed.get("signature", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise DigestError(
            f"{where}: its bytes changed since it was written; restore it from a copy"
        )
    trusted = os.environ.get(PUBLIC_KEY_VARIABLE, "")
    if trusted:
        verify_text(text, signature, trusted, where)
    return content
