"""The routes of a server: captions, the Open Inference Protocol, health, metrics and the page."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

import dico
from dico.policy.captioning import Caption
from dico.serving import inference_protocol as protocol
from dico.serving import predict_protocol
from dico.serving.bodies import chunks, discard, read_image
from dico.serving.page import render_page
from dico.serving.service import Refusal, Service

Handler = Callable[[Request], Awaitable[Response]]
CLIENT_GONE = 499
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}

logger = logging.getLogger("dico.serving")


def build_app(service: Service) -> Starlette:
    """The application around a service, which it starts and closes."""
    routes = Routes(service)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.close()

    def route(path: str, handler: Handler, *methods: str) -> Route:
        return Route(path, routes.guarded(path, handler), methods=methods or ("GET",))

    model = "/v2/models/{name}"
    paths = [
        route("/", routes.page),
        route("/caption", routes.caption, "POST"),
        route("/metrics", routes.metrics),
        route("/v2", routes.server),
        route("/v2/health/live", routes.live),
        route("/v2/health/ready", routes.ready),
        route("/v1/models", routes.models),
        route("/v1/models/{name}:predict", routes.predict, "POST"),
        route("/v1/models/{name}", routes.model_ready),
    ]
    for prefix in (model, f"{model}/versions/{{version}}"):
        paths += [
            route(prefix, routes.model),
            route(f"{prefix}/ready", routes.model_ready),
            route(f"{prefix}/infer", routes.infer, "POST"),
        ]
    return Starlette(routes=paths, lifespan=lifespan, exception_handlers={HTTPException: _http})


class Routes:
    """The handlers; each answers with JSON, errors as ``{"error": reason, "code": code}``."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.source = service.model.source
        self._page, self._policy = render_page(self.source.name, self.source.version)

    def guarded(self, path: str, handler: Handler) -> Handler:
        """The handler with its metrics, whose every error becomes an answer without a traceback."""
        metrics = self.service.metrics

        async def run(request: Request) -> Response:
            started = time.perf_counter()
            try:
                response = await handler(request)
            except Refusal as refusal:
                await discard(request)
                response = _error(refusal.status, refusal.code, refusal.reason)
            except ClientDisconnect:
                response = Response(status_code=CLIENT_GONE)
            except Exception:
                logger.exception("%s: internal error", path)
                response = _error(500, "internal", "internal error; see the server's log")
            metrics.requests.labels(path, str(response.status_code)).inc()
            metrics.request_seconds.labels(path).observe(time.perf_counter() - started)
            return response

        return run

    async def page(self, _: Request) -> Response:
        """The page where one drops an image."""
        return HTMLResponse(
            self._page, headers={**_HEADERS, "Content-Security-Policy": self._policy}
        )

    async def live(self, _: Request) -> Response:
        """Whether the process answers."""
        return _json({"live": True})

    async def ready(self, _: Request) -> Response:
        """Whether requests should be routed here."""
        return _json({"ready": self.service.ready}, 200 if self.service.ready else 503)

    async def server(self, _: Request) -> Response:
        """Who answers."""
        extensions = ["binary_tensor_data"]
        return _json({"name": "dico", "version": dico.__version__, "extensions": extensions})

    async def models(self, _: Request) -> Response:
        """The names of the models, of which there is one."""
        return _json({"models": [self.source.name]})

    async def model(self, request: Request) -> Response:
        """The model's inputs and outputs."""
        self._check_model(request)
        return _json(protocol.metadata(self.source.name, self.source.version))

    async def model_ready(self, request: Request) -> Response:
        """Whether the model answers."""
        self._check_model(request)
        ready = self.service.ready
        return _json({"name": self.source.name, "ready": ready}, 200 if ready else 503)

    async def metrics(self, _: Request) -> Response:
        """Prometheus' text format."""
        text = generate_latest(self.service.metrics.registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST, headers=_HEADERS)

    async def infer(self, request: Request) -> Response:
        """Captions of a tensor of images."""
        self._check_model(request)
        service = self.service
        with service.reserve(1), service.reserve_bytes() as held:
            body = b"".join([chunk async for chunk in chunks(request, service.config, held.add)])
            length = request.headers.get(protocol.HEADER_LENGTH)
            wanted = await asyncio.to_thread(
                protocol.read_request, body, length, service.config.max_images
            )
            with service.reserve(len(wanted.images) - 1):
                captions = await service.caption(wanted.images)
        return _json(protocol.answer(wanted, captions, self.source.name, self.source.version))

    async def predict(self, request: Request) -> Response:
        """Captions of a list of images, by KServe's protocol of version 1."""
        self._check_model(request)
        service = self.service
        with service.reserve(1), service.reserve_bytes() as held:
            body = b"".join([chunk async for chunk in chunks(request, service.config, held.add)])
            images = await asyncio.to_thread(
                predict_protocol.read_request, body, service.config.max_images
            )
            with service.reserve(len(images) - 1):
                captions = await service.caption(images)
        return _json(predict_protocol.answer(captions))

    async def caption(self, request: Request) -> Response:
        """Captions of one image: the body, or the one file of a form."""
        started = time.perf_counter()
        num_captions = self._num_captions(request)
        service = self.service
        with service.reserve(1), service.reserve_bytes() as held:
            data = await read_image(request, service.config, held.add)
            if not data:
                raise Refusal(400, "no_image", "the body is empty; send an image's file")
            (captions,) = await service.caption([data])
        return _json(
            {
                "model": self.source.name,
                "version": self.source.version,
                "caption": captions[0].text,
                "captions": [_plain(caption) for caption in captions[:num_captions]],
                "seconds": round(time.perf_counter() - started, 4),
            }
        )

    def _num_captions(self, request: Request) -> int:
        most = self.service.model.decoding.num_beams
        text = request.query_params.get("captions", "")
        if not text:
            return min(self.service.config.num_captions, most)
        if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= most:
            raise Refusal(400, "bad_request", f"captions: expected a number from 1 to {most}")
        return int(text)

    def _check_model(self, request: Request) -> None:
        name = request.path_params["name"]
        version = request.path_params.get("version", self.source.version)
        if (name, version) != (self.source.name, self.source.version):
            served = f"{self.source.name}, version {self.source.version}"
            raise Refusal(404, "unknown_model", f"no such model here; served is {served}")


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, "not_found" if error.status_code == 404 else "bad_request",
                  str(error.detail), error.headers)  # fmt: skip


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return JSONResponse(content, status, headers=_HEADERS)


def _error(status: int, code: str, reason: str, headers: Any = None) -> Response:
    retry = {"Retry-After": "1"} if status in (429, 503) else {}
    content = {"error": " ".join(reason.split()), "code": code}
    return JSONResponse(content, status, headers={**(headers or {}), **_HEADERS, **retry})


def _plain(caption: Caption) -> dict[str, Any]:
    return {"text": caption.text, "logp": round(caption.logp, 4)}
