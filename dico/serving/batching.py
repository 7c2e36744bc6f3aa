"""Gathers images that are ready into batches, and runs each batch in one worker thread.

An image waits only while others are on their way that could share its batch: a client alone is
answered at once, and under load batches fill while the one before them is computed.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Calls ``work`` with lists of at most ``max_batch`` items, never two at once.

    Attributes:
        num_coming: items announced and not yet submitted.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Sequence[R]],
        max_batch: int,
        max_wait_ms: float,
        observe: Callable[[int, float], None] = lambda _size, _seconds: None,
    ) -> None:
        self._work, self._max_batch, self._max_wait = work, max_batch, max_wait_ms / 1000
        self._observe = observe
        self._waiting: asyncio.Queue[tuple[T, asyncio.Future[R]]] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inference")
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self.num_coming = 0

    def start(self) -> None:
        """Begins to gather."""
        self._task = asyncio.create_task(self._run())

    def announce(self, num_items: int) -> None:
        """Says that items are on their way; negative when they will not come."""
        self.num_coming += num_items
        self._changed.set()

    async def submit(self, item: T) -> R:
        """The result of one announced item, from whichever batch it lands in."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((item, future))
        self.announce(-1)
        return await future

    async def close(self) -> None:
        """Stops gathering; call it when nothing is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            gathered = await self._gather()
            batch = [(item, future) for item, future in gathered if not future.done()]
            if not batch:
                continue
            started = time.perf_counter()
            try:
                items = [item for item, _ in batch]
                results = await loop.run_in_executor(self._thread, self._work, items)
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            self._observe(len(batch), time.perf_counter() - started)
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)

    async def _gather(self) -> list[tuple[T, asyncio.Future[R]]]:
        """The next batch: what is ready, and what becomes ready while it is worth waiting."""
        gathered = [await self._waiting.get()]
        deadline = time.monotonic() + self._max_wait
        while len(gathered) < self._max_batch:
            if not self._waiting.empty():
                gathered.append(self._waiting.get_nowait())
                continue
            left = deadline - time.monotonic()
            if left <= 0 or self.num_coming == 0:
                break
            self._changed.clear()
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                break
        return gathered
