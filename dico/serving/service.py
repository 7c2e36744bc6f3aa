"""The path from a request's images to captions: admission, decoding, batching."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dico.images.errors import ImageError
from dico.policy.captioning import Caption
from dico.serving.batching import Batcher
from dico.serving.config import ServingConfig
from dico.serving.decoding import Cut, Decoders
from dico.serving.metrics import Metrics
from dico.serving.model import ServedModel


class Refusal(Exception):
    """A request that is answered by a status other than 200, with a code and a reason."""

    def __init__(self, status: int, code: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.code, self.reason = status, code, reason


_STATUS = {"image_too_large": 413, "image_format": 415}


class Service:
    """A model with its decoders, its batches and its limits.

    Attributes:
        ready: whether requests should be routed here; False before `start` and after SIGTERM.
    """

    def __init__(self, model: ServedModel, config: ServingConfig) -> None:
        self.model, self.config = model, config
        self.metrics = Metrics(config.max_queue)
        source = model.source
        self.metrics.model.labels(source.name, source.version, model.digest).set(1)
        self.ready = False
        self._num_images = 0
        self._num_bytes = 0
        self._decoders = Decoders(
            config.num_decoders,
            model.frame,
            config.max_pixels,
            config.max_image_seconds,
        )
        self._batcher: Batcher[Cut, list[Caption]] = Batcher(
            model.caption, config.max_batch, config.max_wait_ms, self.metrics.observe_batch
        )

    async def start(self) -> None:
        """Starts decoders and batches, and captions one black image as a trial."""
        self._batcher.start()
        await self._decoders.start()
        self._batcher.announce(1)
        await self._batcher.submit(self.model.blank())
        self.ready = True

    async def close(self) -> None:
        """Ends what `start` started; call it when nothing is under way."""
        self.ready = False
        await self._batcher.close()
        await self._decoders.close()

    @contextmanager
    def reserve(self, num_images: int) -> Iterator[None]:
        """Holds places for images.

        Raises:
            Refusal: 429, there are too many under way.
        """
        if self._num_images + num_images > self.config.max_queue:
            raise Refusal(429, "busy", "too many images under way; try again in a second")
        self._change(num_images)
        try:
            yield
        finally:
            self._change(-num_images)

    @contextmanager
    def reserve_bytes(self) -> Iterator["Bytes"]:
        """Counts the bytes of one body while they are held."""
        held = Bytes(self)
        try:
            yield held
        finally:
            self._num_bytes -= held.num_bytes

    async def caption(self, images: Sequence[bytes]) -> list[list[Caption]]:
        """Captions of each image's file, the likeliest first.

        Raises:
            Refusal: an image cannot be used; the first one is named.
        """
        self._batcher.announce(len(images))
        answers = await asyncio.gather(
            *(self._caption(data) for data in images), return_exceptions=True
        )
        captions = []
        for index, answer in enumerate(answers):
            if isinstance(answer, ImageError):
                which = f"image {index}: " if len(images) > 1 else ""
                reason = which + str(answer).removeprefix("image: ")
                raise Refusal(_STATUS.get(answer.code, 422), answer.code, reason)
            if isinstance(answer, BaseException):
                raise answer
            captions.append(answer)
        return captions

    async def _caption(self, data: bytes) -> list[Caption]:
        try:
            frame = await self._decoders.frame(data)
        except BaseException as error:
            self._batcher.announce(-1)
            if isinstance(error, ImageError):
                self.metrics.refused_images.labels(error.code).inc()
            raise
        return await self._batcher.submit(frame)

    def _change(self, num_images: int) -> None:
        self._num_images += num_images
        self.metrics.under_way.set(self._num_images)

    def add_bytes(self, num_bytes: int) -> None:
        """Counts bytes that arrived; see `Bytes`."""
        if self._num_bytes + num_bytes > self.config.max_bytes_under_way:
            raise Refusal(429, "busy", "too many bytes under way; try again in a second")
        self._num_bytes += num_bytes


class Bytes:
    """The bytes of one body."""

    def __init__(self, service: Service) -> None:
        self._service, self.num_bytes = service, 0

    def add(self, num_bytes: int) -> None:
        """Counts more of them.

        Raises:
            Refusal: 413, the body is too large; 429, all bodies together are.
        """
        limit = self._service.config.max_body_bytes
        if self.num_bytes + num_bytes > limit:
            raise Refusal(413, "body_too_large", f"the body is above the limit of {limit} bytes")
        self._service.add_bytes(num_bytes)
        self.num_bytes += num_bytes
