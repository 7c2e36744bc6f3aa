"""Versions in a Kubeflow Model Registry, by its own client (model-registry 0.3.8 to 0.3.18).

The registry holds what is known about a version: its number as the version's name, which the server
keeps unique, its lineage, and an artifact with the URI that KServe loads. Folders lie in a store of
ours. It knows no aliases: they are properties of the registered model.
"""

import asyncio
import importlib.metadata
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from dico.errors import AccessError, DataError, DicoError, TryAgainError, UsageError, one_line
from dico.registry.folders import Published, check_name
from dico.registry.port import Registry, Version
from dico.storage import open_store

_FORMAT = {"model_format_name": "safetensors", "model_format_version": "1"}
_REQUIRED = ("dico_uri", "dico_digest", "dico_identity")


class KubeflowRegistry(Registry):
    """Models, versions and aliases in a Kubeflow Model Registry; see `dico.registry.port`."""

    def __init__(self, address: str, store: str) -> None:
        self._store = open_store(store)
        self.uri = f"kubeflow+{address}?store={self._store.uri}"
        self._client = _connect(address, self.uri)

    def _add(
        self, name: str, published: Published, metadata: Mapping[str, Any], identity: str
    ) -> Version:
        properties = {
            "dico_uri": published.uri,
            "dico_digest": published.digest,
            "dico_identity": identity,
            "dico_created": datetime.now(UTC).isoformat(timespec="seconds"),
            "dico_metadata": json.dumps(dict(metadata), sort_keys=True),
            **_scores(metadata),
        }
        while True:
            number = self._last_number(name) + 1
            found = self._create(name, number, properties)
            if found.identity == identity:
                self._complete(found)
                return found

    def names(self) -> list[str]:
        with _errors(self.uri):
            names = [model.name for model in self._client.get_registered_models()]
        return sorted(name for name in names if self.versions(name))

    def versions(self, name: str) -> list[Version]:
        found = (self._as_version(name, one) for one in self._own_versions(name))
        return sorted((v for v in found if v), key=lambda version: version.number)

    def get(self, name: str, number: int) -> Version:
        check_name(name)
        with _errors(self.uri):
            known = self._client.get_registered_model(name)
            found = self._client.get_model_version(name, str(number)) if known else None
        version = self._as_version(name, found) if found else None
        if version is None:
            raise DataError(f"{self.uri}: there is no version {number} of {name}")
        return version

    def _point(self, name: str, alias: str, change: Mapping[str, Any]) -> None:
        with _errors(self.uri):
            model = self._client.get_registered_model(name)
            properties = dict(model.custom_properties or {})
            model.custom_properties = properties | {f"dico_{alias}": json.dumps(change)}
            self._client.update(model)

    def last_change(self, name: str, alias: str) -> Mapping[str, Any]:
        check_name(name)
        with _errors(self.uri):
            model = self._client.get_registered_model(name)
        properties = (model.custom_properties or {}) if model else {}
        change: dict[str, Any] = json.loads(str(properties.get(f"dico_{alias}", "{}")))
        return change

    def _create(self, name: str, number: int, properties: Mapping[str, Any]) -> Version:
        """Creates a version, or gives the one that has this number already.

        A duplicate is done when it is the same model: then only its answer was lost.
        """
        metadata = json.loads(properties["dico_metadata"])
        try:
            with _errors(self.uri):
                self._client.register_model(
                    name,
                    properties["dico_uri"],
                    version=str(number),
                    metadata=properties,
                    **_FORMAT,
                    **_lineage(metadata),
                )
        except DicoError:
            try:
                return self.get(name, number)
            except DataError:
                pass
            raise
        return self.get(name, number)

    def _complete(self, version: Version) -> None:
        """Adds the artifact where a writer died between a version and its artifact."""
        from model_registry.types import ModelArtifact

        name, number = version.name, str(version.number)
        with _errors(self.uri):
            if self._client.get_model_artifact(name, number) is not None:
                return
            found = self._client.get_model_version(name, number)
            artifact = ModelArtifact(
                name=name, uri=version.uri, **_FORMAT, **_lineage(version.metadata)
            )
            api = self._client._api  # the client has no public call for an artifact alone
            asyncio.run(api.upsert_model_version_artifact(artifact, found.id))

    def _own_versions(self, name: str) -> list[Any]:
        check_name(name)
        with _errors(self.uri):
            if self._client.get_registered_model(name) is None:
                return []
            return list(self._client.get_model_versions(name))

    def _last_number(self, name: str) -> int:
        names = [found.name for found in self._own_versions(name)]
        return max((int(number) for number in names if number.isdecimal()), default=0)

    def _as_version(self, name: str, found: Any) -> Version | None:
        """A version of ours; others may register by hand beside us."""
        properties = found.custom_properties or {}
        if not found.name.isdecimal() or any(key not in properties for key in _REQUIRED):
            return None
        return Version(
            name=name,
            number=int(found.name),
            uri=str(properties["dico_uri"]),
            digest=str(properties["dico_digest"]),
            identity=str(properties["dico_identity"]),
            created=str(properties.get("dico_created", "")),
            metadata=json.loads(str(properties.get("dico_metadata", "{}"))),
        )


def _connect(address: str, where: str) -> Any:
    """A client that the server understands.

    Servers to 0.3.x that know ``v1alpha3`` alone answer 404 to newer clients, which ask ``v1``: some
    at once, some at the first question.
    """
    try:
        from model_registry import ModelRegistry
        from mr_openapi.exceptions import NotFoundException
    except ImportError:
        raise UsageError(
            "the Kubeflow Model Registry's client is absent: pip install 'dico-captioner[kubeflow]'"
        ) from None
    try:
        with _errors(where, let=NotFoundException), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="User access token is missing")
            client = ModelRegistry(
                address,
                author="dico",
                is_secure=address.startswith("https:"),  # client 0.3.8 does not look
                async_runner=asyncio.run,
                log_level=logging.ERROR,
            )
            next(iter(client.get_registered_models()), None)
    except NotFoundException:
        version = importlib.metadata.version("model-registry")
        raise UsageError(
            f"{where}: this server does not support the API that the client uses "
            f"(model-registry {version}); an older server needs an older client: "
            "pip install 'model-registry==0.3.14'"
        ) from None
    return client


def _lineage(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The fields by which Kubeflow's UI links a version to its pipeline run."""
    run_id = str(metadata.get("run_id", ""))
    if not run_id:
        return {}
    fields = {
        "model_source_kind": "kfp",
        "model_source_class": "pipelinerun",
        "model_source_group": str(metadata.get("namespace", "")),
        "model_source_id": run_id,
        "model_source_name": str(metadata.get("run_name", "") or run_id),
    }
    return {name: value for name, value in fields.items() if value}


def _scores(metadata: Mapping[str, Any]) -> dict[str, float]:
    """Metrics as properties of their own, so that the UI shows and filters them."""
    metrics = metadata.get("metrics", {})
    return {f"metric_{k}": float(v) for k, v in metrics.items() if isinstance(v, int | float)}


@contextmanager
def _errors(where: str, let: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """Turns the client's errors into dico's, but for those of type ``let``."""
    from aiohttp import ClientError
    from model_registry.exceptions import StoreError
    from mr_openapi import exceptions as http

    try:
        yield
    except let:
        raise
    except (http.UnauthorizedException, http.ForbiddenException) as error:
        raise AccessError(f"{where}: the registry refused ({error.status})") from None
    except (http.ServiceException, ClientError, TimeoutError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise TryAgainError(f"{where}: the registry did not answer: {reason}") from None
    except (http.ApiException, StoreError) as error:
        raise DicoError(f"{where}: the registry failed: {one_line(error)}") from None
