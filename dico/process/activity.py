"""Activity of a thread, which the watchdog reads from another thread."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

DATA = "the data loader"
CHECKPOINT = "saving a checkpoint"


class Activity(NamedTuple):
    """An input or output operation under way."""

    what: str
    """Noun phrase for messages."""

    since: float
    """When it began, `time.monotonic` seconds."""


_current: dict[int, Activity] = {}


@contextmanager
def activity(what: str) -> Iterator[None]:
    """Marks a block, or a function that it decorates; inside another block the outer one counts."""
    thread = threading.get_ident()
    if thread in _current:
        yield
        return
    _current[thread] = Activity(what, time.monotonic())
    try:
        yield
    finally:
        del _current[thread]


def current_activity(thread: int) -> Activity | None:
    """What the thread with this identifier is waiting for; None while it computes."""
    return _current.get(thread)
