"""The routes and the server of blind ratings: a page, tasks, judgements, images; nothing else.

GET /next?rater=NAME[&back=1]   {"task": {...} | null, "done", "total"}
POST /judge                     {"rater", "task", "choice", "seconds"} -> what /next answers
GET /image/NUMBER               the image of a task
"""

import io
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from dico.errors import DicoError, UsageError
from dico.images.load import load_image
from dico.pages.rendering import render
from dico.people.rating import Session, Task
from dico.serving.page import content_policy

MAX_BODY_BYTES = 4096
MAX_SIDE_PX = 1400
MAX_KEPT_IMAGES = 64
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
Handler = Callable[[Request], Awaitable[Response]]


def build_rating_app(session: Session, uris: Mapping[str, str]) -> Starlette:
    """The application of one session; ``uris`` are {image id: where the image is}."""
    routes = _Routes(session, uris)
    return Starlette(
        routes=[
            Route("/", routes.page),
            Route("/next", _guarded(routes.next)),
            Route("/judge", _guarded(routes.judge), methods=["POST"]),
            Route("/image/{number:int}", _guarded(routes.image)),
        ]
    )


def serve_ratings(session: Session, uris: Mapping[str, str], host: str, port: int) -> None:
    """Serves until it is interrupted; every judgement is on the disk before it is answered.

    Raises:
        UsageError: the address cannot be listened on.
    """
    try:
        listening = socket.create_server((host, port))
    except OSError as error:
        raise UsageError(f"--host {host} --port {port}: cannot listen ({error.strerror})") from None
    num = len(session.image_ids)
    address = f"http://{host}:{listening.getsockname()[1]}"
    print(f"{num} images to judge, {session.num_alike} with equal captions left out: {address}")
    settings = uvicorn.Config(
        build_rating_app(session, uris),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    with listening:
        uvicorn.Server(settings).run(sockets=[listening])


class _Routes:
    """The handlers."""

    def __init__(self, session: Session, uris: Mapping[str, str]) -> None:
        self._session = session
        self._html = render("dico.serving", "rating.html")
        self._headers = {**_HEADERS, "Content-Security-Policy": content_policy(self._html)}

        @lru_cache(maxsize=MAX_KEPT_IMAGES)
        def shown(number: int) -> bytes:
            return _png(uris[session.image_ids[number]])

        self._shown = shown

    async def page(self, _: Request) -> Response:
        """The page; what it asks for follows."""
        return HTMLResponse(self._html, headers=self._headers)

    async def next(self, request: Request) -> Response:
        """The rater's next task, or the last one again."""
        rater = request.query_params.get("rater", "")
        back = request.query_params.get("back") == "1"
        task = self._session.last(rater) if back else self._session.next(rater)
        return self._answer(rater, task)

    async def judge(self, request: Request) -> Response:
        """Takes a judgement."""
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise UsageError("expected application/json")  # so no other site's form can send one
        data = await _read_json(request)
        rater, number, choice = data.get("rater"), data.get("task"), data.get("choice")
        seconds = data.get("seconds", 0.0)
        if not isinstance(rater, str) or type(number) is not int:
            raise UsageError('expected {"rater": text, "task": number, "choice", "seconds"}')
        if isinstance(choice, bool) or not isinstance(choice, int | str):
            raise UsageError("choice: expected a caption's place, equal or wrong")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise UsageError("seconds: expected a number")
        self._session.judge(rater, number, choice, seconds)
        return self._answer(rater, self._session.next(rater))

    async def image(self, request: Request) -> Response:
        """The image of a task."""
        number = request.path_params["number"]
        if number >= len(self._session.image_ids):
            return JSONResponse({"error": f"there is no task {number}"}, 404, headers=_HEADERS)
        return Response(self._shown(number), media_type="image/png", headers=_HEADERS)

    def _answer(self, rater: str, task: Task | None) -> Response:
        shown = None if task is None else {"number": task.number, "captions": list(task.captions)}
        done, total = self._session.num_done(rater.strip()), len(self._session.image_ids)
        return JSONResponse({"task": shown, "done": done, "total": total}, headers=_HEADERS)


def _guarded(handler: Handler) -> Handler:
    """The handler, whose expected errors become an answer of one line."""

    async def run(request: Request) -> Response:
        try:
            return await handler(request)
        except DicoError as error:
            status = 400 if isinstance(error, UsageError) else 500
            return JSONResponse({"error": str(error)}, status, headers=_HEADERS)

    return run


async def _read_json(request: Request) -> dict[str, Any]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise UsageError(f"the body is larger than {MAX_BODY_BYTES} bytes")
    try:
        data = json.loads(bytes(body))
    except (ValueError, RecursionError):
        raise UsageError("the body is not JSON") from None
    if not isinstance(data, dict):
        raise UsageError("the body is not a JSON object")
    return data


def _png(uri: str) -> bytes:
    """The image as every browser shows it, turned by its EXIF, no larger than a screen."""
    image = load_image(uri)
    image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
