"""A small Kubeflow Model Registry for the tests: its REST paths, in memory.

Bodies are read by the models that its client was generated with from the published OpenAPI, so a
field that the real server would not know is refused. Every request is recorded. ``lose`` makes the
answers of some requests disappear after they were carried out.
"""

import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.local_server import Handler, LocalServer

BASE = "/api/model_registry/"


class ModelRegistryServer(LocalServer):
    """Use as a context manager; ``url`` is its address."""

    def __init__(self, interface: str = "v1") -> None:
        super().__init__(_handler(self))
        self.base = BASE + interface
        self.models: list[dict[str, Any]] = []
        self.versions: list[dict[str, Any]] = []
        self.artifacts: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.lose: Callable[[str, str], bool] = lambda method, path: False
        self.status: int = 0
        self.lock = threading.Lock()

    def knows(self, path: str) -> bool:
        """Whether a path is of the interface that this release of the server has."""
        return path.startswith(f"{self.base}/")

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """Status and content; the caller holds the lock."""
        from mr_openapi import (
            ModelArtifact,
            ModelVersionCreate,
            RegisteredModelCreate,
            RegisteredModelUpdate,
        )

        match (method, *path.strip("/").split("/")):
            case ("GET", "registered_models"):
                return 200, _page(self.models)
            case ("POST", "registered_models"):
                return self._create(self.models, _checked(RegisteredModelCreate, body), ("name",))
            case ("GET", "registered_model"):
                return _first(m for m in self.models if m["name"] == query.get("name"))
            case ("PATCH", "registered_models", number):
                model = next(m for m in self.models if m["id"] == number)
                model.update(_checked(RegisteredModelUpdate, body))
                return 200, model
            case ("GET", "registered_models", number, "versions"):
                return 200, _page([v for v in self.versions if v["registeredModelId"] == number])
            case ("POST", "model_versions"):
                keys = ("name", "registeredModelId")
                return self._create(self.versions, _checked(ModelVersionCreate, body), keys)
            case ("GET", "model_version"):
                asked = (query.get("name"), query.get("parentResourceId"))
                return _first(
                    v for v in self.versions if (v["name"], v["registeredModelId"]) == asked
                )
            case ("GET", "model_artifact"):
                asked = (query.get("name"), query.get("parentResourceId"))
                return _first(a for a in self.artifacts if (a["name"], a["version"]) == asked)
            case ("GET", "model_versions", number, "artifacts"):
                return 200, _page([a for a in self.artifacts if a["version"] == number])
            case ("POST", "model_versions", number, "artifacts"):
                artifact = _checked(ModelArtifact, body) | {"version": number}
                return self._create(self.artifacts, artifact, ("name", "version"))
        return 404, {"code": "404", "message": f"{method} {path}"}

    def _create(
        self, items: list[dict[str, Any]], body: dict[str, Any], unique: tuple[str, ...]
    ) -> tuple[int, Any]:
        if any(all(item[key] == body[key] for key in unique) for item in items):
            return 409, {"code": "409", "message": "already exists"}
        items.append(body | {"id": str(len(items) + 1), "state": "LIVE"})
        return 201, items[-1]


def _checked(model: Any, body: Any) -> dict[str, Any]:
    known = {field.alias or name for name, field in model.model_fields.items()}
    unknown = set(body) - known
    assert not unknown, unknown
    model.from_dict(body)
    return dict(body)


def _page(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"items": items, "nextPageToken": "", "pageSize": len(items), "size": len(items)}


def _first(found: Any) -> tuple[int, Any]:
    item = next(found, None)
    return (200, item) if item else (404, {"code": "404", "message": "not found"})


def _handler(server: ModelRegistryServer) -> type[Handler]:
    class Answering(Handler):
        def serve(self) -> None:
            parts = urlsplit(self.path)
            path = parts.path.removeprefix(server.base) if server.knows(parts.path) else "/"
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            body = self.json_body()
            with server.lock:
                server.requests.append((self.command, path, body))
                try:
                    status, content = server.answer(self.command, path, query, body)
                except Exception as error:
                    status, content = 400, {"code": "400", "message": repr(error)}
                if server.status:
                    status, content = server.status, {"code": str(server.status), "message": "x"}
                lost = server.lose(self.command, path)
            if lost:
                self.close_connection = True
                self.connection.close()
                return
            self.answer(status, content)

        do_GET = do_POST = do_PATCH = serve

    return Answering
