"""Pictures decoded in child processes, so that none can hang, crash or bloat the server.

The protocol is JSON and raw bytes: nothing that a child says can run code. A child that died or
took too long is replaced.
"""

import asyncio
import contextlib
import json
import math
import os
import sys
from typing import NamedTuple

from dico.config_schema import to_json
from dico.images.decoder import WHERE
from dico.images.frame import Frame
from dico.images.load import ImageError

_START_SECONDS = 60.0
_LINE_BYTES = 1 << 16


class Cut(NamedTuple):
    """The part of a picture that a model sees."""

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
        arguments = [to_json(frame), str(max_pixels)]
        most = 3 * (math.prod(frame.shape) if frame.shape else max_pixels)
        self._all = [_Decoder(arguments, most, max_seconds) for _ in range(num_decoders)]
        self._free: asyncio.Queue[_Decoder] = asyncio.Queue()
        for decoder in self._all:
            self._free.put_nowait(decoder)

    async def start(self) -> None:
        """Starts all children."""
        await asyncio.gather(*(decoder.start() for decoder in self._all))

    async def frame(self, data: bytes) -> Cut:
        """The frame that the model sees.

        Raises:
            ImageError: the bytes are no usable picture; its code says why.
        """
        decoder = await self._free.get()
        try:
            return await decoder.frame(data)
        finally:
            self._free.put_nowait(decoder)

    async def close(self) -> None:
        """Ends all children."""
        await asyncio.gather(*(decoder.close() for decoder in self._all))


class _Decoder:
    """One child; one picture at a time."""

    def __init__(self, arguments: list[str], max_bytes: int, max_seconds: float) -> None:
        self._arguments, self._max_bytes, self._max_seconds = arguments, max_bytes, max_seconds
        self._child: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts the child where there is none."""
        if self._child is not None and self._child.returncode is None:
            return
        command = [sys.executable, "-m", "dico.images.decoder", *self._arguments]
        self._child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_LINE_BYTES,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    async def frame(self, data: bytes) -> Cut:
        """See `Decoders.frame`."""
        fresh = self._child is None
        await self.start()
        whole = False
        try:
            async with asyncio.timeout(self._max_seconds + (_START_SECONDS if fresh else 0)):
                frame = await self._ask(data)
            whole = True
        except TimeoutError:
            detail = f"{WHERE}: not decoded within {self._max_seconds:g} s"
            raise ImageError("image_timeout", detail) from None
        except ImageError:
            whole = True
            raise
        except (EOFError, OSError, ValueError):
            raise ImageError("image_damaged", f"{WHERE}: the decoder died of it") from None
        finally:
            if not whole:
                await self.close()
        return frame

    async def _ask(self, data: bytes) -> Cut:
        assert self._child is not None
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps({"num_bytes": len(data)}).encode() + b"\n")
        self._child.stdin.write(data)
        await self._child.stdin.drain()
        line = await self._child.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        facts = json.loads(line)
        if facts["code"]:
            raise ImageError(str(facts["code"]), str(facts["detail"]))
        width, height = map(int, facts["size"])
        if not 0 < 3 * width * height <= self._max_bytes:
            raise ValueError(f"a frame of {width} x {height} pixels")
        pixels = await self._child.stdout.readexactly(3 * width * height)
        return Cut((width, height), pixels)

    async def close(self) -> None:
        """Ends the child."""
        child, self._child = self._child, None
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
