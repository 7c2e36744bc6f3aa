"""Temporary SIGTERM handler as a context manager."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_received = threading.Event()


def sigterm_received() -> bool:
    """Whether this process was asked to end while a block of `on_sigterm` was at work."""
    return _received.is_set()


@contextmanager
def on_sigterm(handle: Callable[[], object]) -> Iterator[None]:
    """Calls ``handle`` on every SIGTERM during the block; what it raises comes out of the block.

    Outside the main thread, where no handler can be set, the signal keeps its meaning.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(_number: int, _frame: object) -> None:
        _received.set()
        handle()

    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
