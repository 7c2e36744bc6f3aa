"""Versions in MLflow's model registry: a tracking server, or a database such as sqlite.

MLflow numbers the versions and keeps their tags; folders lie in a store of ours, by their digest.
Aliases are MLflow's own, so ``models:/NAME@champion`` means the same version everywhere.
"""

import json
import re
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from dico.errors import AccessError, DataError, DicoError, TryAgainError, UsageError
from dico.registry.folders import Published, check_name
from dico.registry.port import Registry, Version
from dico.storage import open_store

_PAGE = 200
_ACCESS = ("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED")
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE")
_SERVERS = frozenset(("http", "https"))
_DATABASES = frozenset(("sqlite", "postgresql", "mysql", "mssql"))
_PACKAGES = {
    "psycopg2": "psycopg2-binary",
    "psycopg": "psycopg[binary]",
    "MySQLdb": "mysqlclient",
    "pymysql": "pymysql",
}
_CONNECT_SECONDS = 5.0
_TRANSIENT = ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED")


class MlflowRegistry(Registry):
    """Models, versions and aliases in MLflow; see `dico.registry.port.Registry`."""

    def __init__(self, address: str, store: str) -> None:
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise UsageError(
                "MLflow's client is absent: pip install 'dico-captioner[mlflow]'"
            ) from None
        _check_address(address)
        self._store = open_store(store)
        self.uri = f"mlflow+{address}{'&' if '?' in address else '?'}store={self._store.uri}"
        with _errors(self.uri):
            self._client = MlflowClient(tracking_uri=address, registry_uri=address)

    def _add(
        self, name: str, published: Published, metadata: Mapping[str, Any], identity: str
    ) -> Version:
        tags = {
            "dico.digest": published.digest,
            "dico.identity": identity,
            "dico.created": datetime.now(UTC).isoformat(timespec="seconds"),
            "dico.metadata": json.dumps(dict(metadata), sort_keys=True),
            "dico.token": uuid.uuid4().hex,
        }
        with _errors(self.uri, known=("RESOURCE_ALREADY_EXISTS",)):
            self._client.create_registered_model(name)
        try:
            with _errors(self.uri):
                made = self._client.create_model_version(name, published.uri, tags=tags)
                return _version(made)
        except TryAgainError:  # the answer may be lost and the version there
            token = f"tag.`dico.token` = '{tags['dico.token']}'"
            with _errors(self.uri):
                found = self._client.search_model_versions(f"name = '{name}' and {token}")
            if not found:
                raise
            return _version(found[0])

    def names(self) -> list[str]:
        with _errors(self.uri):
            pages = _pages(self._client.search_registered_models)
            names = [model.name for model in pages]
        return sorted(name for name in names if self.versions(name))

    def versions(self, name: str) -> list[Version]:
        check_name(name)
        with _errors(self.uri):
            found = list(_pages(self._client.search_model_versions, f"name = '{name}'"))
        ours = [_version(one) for one in found if "dico.digest" in one.tags]
        return sorted(ours, key=lambda version: version.number)

    def get(self, name: str, number: int) -> Version:
        check_name(name)
        found = self._ask(self._client.get_model_version, name, str(number))
        if found is None or "dico.digest" not in found.tags:
            raise DataError(f"{self.uri}: there is no version {number} of {name}")
        return _version(found)

    def _point(self, name: str, alias: str, change: Mapping[str, Any]) -> None:
        with _errors(self.uri):
            self._client.set_registered_model_alias(name, alias, str(change["number"]))
            self._client.set_registered_model_tag(name, f"dico.{alias}", json.dumps(change))

    def resolve(self, name: str, alias: str) -> Version | None:
        check_name(name)
        found = self._ask(self._client.get_model_version_by_alias, name, alias)
        return _version(found) if found else None

    def last_change(self, name: str, alias: str) -> Mapping[str, Any]:
        check_name(name)
        model = self._ask(self._client.get_registered_model, name)
        change: dict[str, Any] = json.loads(
            model.tags.get(f"dico.{alias}", "{}") if model else "{}"
        )
        return change

    def _ask(self, question: Callable[..., Any], *arguments: str) -> Any:
        """The answer, or None where there is no such thing."""
        found = None
        with _errors(self.uri, known=_ABSENT):
            found = question(*arguments)
        return found  # noqa: RET504


def _version(found: Any) -> Version:
    tags = found.tags
    return Version(
        name=found.name,
        number=int(found.version),
        uri=str(found.source),
        digest=tags.get("dico.digest", ""),
        identity=tags.get("dico.identity", ""),
        created=tags.get("dico.created", ""),
        metadata=json.loads(tags.get("dico.metadata", "{}")),
    )


def _pages(search: Any, condition: str | None = None) -> Iterator[Any]:
    token = None
    while True:
        page = search(condition, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _check_address(address: str) -> None:
    """Refuses what MLflow's registry cannot be, and a server that nobody hears, at once.

    MLflow's own client tries a dead server for four minutes without a word.

    Raises:
        UsageError: a folder, or another scheme that is no server and no database.
        TryAgainError: nobody listens there.
    """
    parts = urlsplit(address)
    scheme = parts.scheme.partition("+")[0]
    if scheme in ("", "file"):
        raise UsageError(
            f"mlflow+{address}: MLflow keeps no model registry in a folder; name a server "
            "(http://...) or a database (sqlite:///mlflow.db)"
        )
    if scheme not in _SERVERS | _DATABASES:
        known = ", ".join(sorted(_SERVERS | _DATABASES))
        raise UsageError(f"mlflow+{scheme}: MLflow's registry is one of {known}")
    if scheme in _SERVERS and not _is_reached_by_proxy(parts.scheme, parts.hostname or ""):
        port = parts.port or (443 if scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname or "", port), _CONNECT_SECONDS).close()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise TryAgainError(
                f"mlflow+{scheme}://{parts.hostname}:{port}: no answer ({reason}); check the "
                "address, or run the same command again later"
            ) from None


def _is_reached_by_proxy(scheme: str, host: str) -> bool:
    """Whether the environment names a proxy for a server, so that it need not answer itself."""
    return scheme in getproxies() and not proxy_bypass(host)


def _missing_driver(error: BaseException) -> str:
    """The package that a database's address needs and that is not installed; empty for none."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ModuleNotFoundError):
            return seen.name or "a driver"
        seen = seen.__cause__ or seen.__context__
    found = re.search(r"No module named '([\w.]+)'", str(error))
    return found[1] if found else ""


@contextmanager
def _errors(where: str, known: tuple[str, ...] = ()) -> Iterator[None]:
    """Turns MLflow's errors into dico's; those ``known`` end the block in silence."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (ImportError, MlflowException) as error:
        driver = _missing_driver(error)
        if driver:
            raise UsageError(
                f"{where.partition('@')[0].partition('://')[0]}: this database needs the package "
                f"{driver}: pip install {_PACKAGES.get(driver, driver)}"
            ) from None
        if isinstance(error, ImportError):
            raise
        code = str(error.error_code)
        if code in known:
            return
        reason = " ".join(str(error.message).split())[:200]
        if code in _ACCESS:
            raise AccessError(f"{where}: MLflow refused: {reason}") from None
        if code in _TRANSIENT or code == "INTERNAL_ERROR":
            raise TryAgainError(f"{where}: MLflow did not answer: {reason}") from None
        raise DicoError(f"{where}: MLflow failed ({code}): {reason}") from None
