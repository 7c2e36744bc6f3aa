"""What SIGTERM does for the length of a block."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_sigterm(handle: Callable[[], object]) -> Iterator[None]:
    """Calls ``handle`` on every SIGTERM during the block; what it raises comes out of the block.

    Outside the main thread, where no handler can be set, the signal keeps its meaning.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: handle())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
