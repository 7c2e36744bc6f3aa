"""Bodies of requests, read with a limit on their size and on their time."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from dico.serving.config import ServingConfig
from dico.serving.service import Refusal

Count = Callable[[int], None]
_DISCARD_SECONDS = 5.0


async def read_image(request: Request, config: ServingConfig, count: Count) -> bytes:
    """The image in a request: its body, or the one file of a form.

    Raises:
        Refusal: not a form with one file, or what `chunks` refuses.
    """
    pieces = chunks(request, config, count)
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return b"".join([chunk async for chunk in pieces])
    parser = MultiPartParser(request.headers, pieces, max_files=1, max_fields=8)
    parser.spool_max_size = config.max_body_bytes + 1  # never on the disk
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        reason = getattr(error, "message", "a form without a boundary")
        raise Refusal(400, "bad_form", f"not a form with one file: {reason}") from None
    async with _closed(form):
        files = [part for part in form.values() if not isinstance(part, str)]
        if len(files) != 1:
            raise Refusal(400, "bad_form", "the form has no file")
        return await files[0].read()


async def chunks(
    request: Request, config: ServingConfig, count: Count
) -> AsyncGenerator[bytes, None]:
    """The body in pieces, each counted before it is handed on.

    Raises:
        Refusal: 413, it is too large; 408, it is not whole at its deadline; what ``count`` raises.
    """
    declared = request.headers.get("content-length", "")
    limit = config.max_body_bytes
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise Refusal(413, "body_too_large", f"the body is above the limit of {limit} bytes")
    stream = aiter(request.stream())
    deadline = time.monotonic() + config.max_body_seconds
    while True:
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Refusal(408, "body_timeout", "the body took too long to arrive") from None
        count(len(chunk))
        yield chunk


async def discard(request: Request) -> None:
    """Reads what is left of a refused body, so that its sender gets to read the answer."""
    try:
        async with asyncio.timeout(_DISCARD_SECONDS):
            async for _ in request.stream():
                pass
    except (TimeoutError, ClientDisconnect, RuntimeError):
        pass


@asynccontextmanager
async def _closed(form: FormData) -> AsyncIterator[None]:
    """Closes the files of a form."""
    try:
        yield
    finally:
        await form.close()
