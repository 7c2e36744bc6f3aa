"""Runs a service until it is asked to stop, then lets it finish what it has begun."""

import asyncio
import logging
import signal
import socket
from types import FrameType

import uvicorn

from dico.errors import UsageError
from dico.serving.app import build_app
from dico.serving.config import ServingConfig
from dico.serving.model import ServedModel
from dico.serving.service import Service

_BACKLOG = 2048


def serve(model: ServedModel, config: ServingConfig, host: str, port: int) -> None:
    """Serves until SIGTERM or SIGINT; returns when every request that was admitted is answered.

    Args:
        model: what is served.
        config: limits.
        host: address to listen on.
        port: port to listen on; 0 for any free one, which the first line of output tells.

    Raises:
        UsageError: the address cannot be listened on.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    try:
        listening = socket.create_server((host, port), backlog=_BACKLOG)
    except OSError as error:
        raise UsageError(f"--host {host} --port {port}: cannot listen ({error.strerror})") from None
    service = Service(model, config)
    settings = uvicorn.Config(
        build_app(service),
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(config.drain_seconds)),
    )
    source = model.source
    address = f"http://{host}:{listening.getsockname()[1]}"
    signed = "signature verified" if model.signed else "digests verified"
    print(f"{source.name} version {source.version} ({signed}) on {address}", flush=True)
    with listening:
        _Server(settings, service).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Lingers after SIGTERM, not ready but answering; a second signal ends that at once."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server.serve`."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, _: FrameType | None) -> None:
        """Called on SIGTERM and SIGINT, in the main thread, between any two instructions."""
        asked_before, self._service.ready = not self._service.ready, False
        if asked_before or sig == signal.SIGINT or self._loop is None:
            self.should_exit = True
            return
        linger = self._service.config.linger_seconds
        self._loop.call_soon_threadsafe(self._loop.call_later, linger, self._stop)

    def _stop(self) -> None:
        self.should_exit = True
