"""Ends a trainer that is stuck, so that whoever started it can start it again.

A thread looks at what the main thread is at. Where no step is finished in time, or one reading of
data takes too long, it prints where every thread is and leaves with 75: a call that hangs in the
kernel or in a collective can't be interrupted by an exception.
"""

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dico.errors import TryAgainError
from dico.exits import ERROR_PREFIX
from dico.training.limits import GuardConfig

_SECONDS_BETWEEN_LOOKS = 0.5
_DATA = (f"{os.sep}dico{os.sep}data{os.sep}", f"{os.sep}dico{os.sep}storage{os.sep}")
_CHECKPOINT = f"{os.sep}dico{os.sep}training{os.sep}checkpoint.py"


class Watchdog:
    """Knows when the last step ended, and since when data is being read."""

    def __init__(self, config: GuardConfig) -> None:
        self.config = config
        self._stopped = threading.Event()
        self._main = threading.get_ident()
        self._step_ended = time.monotonic()
        self._reading_since: float | None = None

    def step_ended(self) -> None:
        """To be called after each step."""
        self._step_ended = time.monotonic()
        self._reading_since = None

    def fault(self) -> str:
        """What is stuck; empty while nothing is."""
        now, frame = time.monotonic(), sys._current_frames().get(self._main)
        place = _place(frame, _DATA)
        self._reading_since = (self._reading_since or now) if place else None
        step, data = self.config.max_step_seconds, self.config.max_data_seconds
        if data and self._reading_since and now - self._reading_since > data:
            saving = _place(frame, (_CHECKPOINT,))
            what = "saving a checkpoint" if saving else "the data loader"
            return f"{what} is stuck: more than {data:.0f} s in {place}"
        if step and now - self._step_ended > step:
            where = _place(frame, (f"{os.sep}dico{os.sep}",))
            return f"no step finished in {step:.0f} s; at work is {where}"
        return ""

    def watch(self) -> None:
        """Looks until stopped; leaves the process where something is stuck."""
        while not self._stopped.wait(_SECONDS_BETWEEN_LOOKS):
            if fault := self.fault():
                faulthandler.dump_traceback(sys.__stderr__ or 2)
                message = f"{fault}; the same command goes on from the last checkpoint"
                os.write(2, f"{ERROR_PREFIX}{message}\n".encode())
                os._exit(TryAgainError.exit_code)

    def stop(self) -> None:
        """Ends `watch`."""
        self._stopped.set()


@contextmanager
def watching(config: GuardConfig) -> Iterator[Watchdog]:
    """Yields a watchdog over the thread that enters the block."""
    watchdog = Watchdog(config)
    thread = threading.Thread(target=watchdog.watch, name="watchdog", daemon=True)
    thread.start()
    try:
        yield watchdog
    finally:
        watchdog.stop()
        thread.join()


def _place(frame: FrameType | None, parts: tuple[str, ...]) -> str:
    """The innermost call in a file whose path has one of ``parts``, or nothing."""
    while frame is not None:
        path = frame.f_code.co_filename
        if any(part in path for part in parts):
            return f"{frame.f_code.co_name} ({os.path.basename(path)}:{frame.f_lineno})"
        frame = frame.f_back
    return ""
