"""Images of requests, decoded by a fixed number of sandboxed child processes."""

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from dico.images.decoder import Job
from dico.images.errors import ImageError
from dico.images.frame import Frame
from dico.images.sandbox import DecoderProcess

WHERE = "image"
"""What messages call an image of a request."""


class Cut(NamedTuple):
    """The part of an image that a model sees."""

    size: tuple[int, int]
    """Width and height, pixels."""
    data: bytes
    """RGB, row by row."""


class Decoders:
    """A fixed number of decoders; each request takes whichever is free."""

    def __init__(
        self,
        num_decoders: int,
        frame: Frame,
        max_pixels: int,
        max_seconds: float,
    ) -> None:
        job = Job("frame", frame, max_pixels)
        most = 3 * (math.prod(frame.shape) if frame.shape else max_pixels)
        self._all = [DecoderProcess(job, max_seconds, most) for _ in range(num_decoders)]
        self._free: asyncio.Queue[DecoderProcess] = asyncio.Queue()
        self._threads = ThreadPoolExecutor(num_decoders, thread_name_prefix="decoder")
        for decoder in self._all:
            self._free.put_nowait(decoder)

    async def start(self) -> None:
        """Starts all children."""
        loop = asyncio.get_running_loop()
        starting = [loop.run_in_executor(self._threads, one.start) for one in self._all]
        await asyncio.gather(*starting)

    async def frame(self, data: bytes) -> Cut:
        """The frame that the model sees.

        Raises:
            ImageError: the bytes are no usable image; its code says why.
        """
        decoder = await self._free.get()
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(self._threads, decoder.ask, WHERE, data)
        # A caller who leaves does not free the child: it is at work until it answers or is replaced.
        asked.add_done_callback(lambda done: self._release(decoder, done))
        facts, pixels = await asyncio.shield(asked)
        width, height = map(int, facts["size"])
        if len(pixels) != 3 * width * height or not pixels:
            raise ImageError("image_damaged", f"{WHERE}: it crashed the decoder")
        return Cut((width, height), pixels)

    async def close(self) -> None:
        """Ends all children; what is being decoded ends with an error."""
        for decoder in self._all:
            decoder.kill()
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        for decoder in self._all:
            decoder.close()

    def _release(self, decoder: DecoderProcess, done: "asyncio.Future[Any]") -> None:
        if not done.cancelled():
            done.exception()  # seen, also where the caller left
        self._free.put_nowait(decoder)
