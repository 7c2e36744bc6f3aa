"""Ends a trainer that is stuck, so that whoever started it can start it again.

A thread watches the main thread. Where no step is finished in time, or one input or output
operation (`dico.process.activity`) takes too long, it prints where every thread is and leaves the
process with 75, or a step for its next try: a call that hangs in the kernel or in a collective can't be interrupted by an exception.
"""

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dico.process.activity import current_activity
from dico.process.exits import ERROR_PREFIX
from dico.process.retry import leave_stuck_process
from dico.training.resilience.limits import GuardConfig

_POLL_SECONDS = 0.5


class Watchdog:
    """Knows when the last step ended, and asks what the main thread is waiting for."""

    def __init__(self, config: GuardConfig) -> None:
        self.config = config
        self._stopped = threading.Event()
        self._main = threading.get_ident()
        self._step_ended = time.monotonic()

    def step_ended(self) -> None:
        """To be called after each step."""
        self._step_ended = time.monotonic()

    def fault(self) -> str:
        """What is stuck; empty while nothing is."""
        now, frame = time.monotonic(), sys._current_frames().get(self._main)
        step, data = self.config.max_step_seconds, self.config.max_data_seconds
        waiting = current_activity(self._main)
        # Reading has a limit of its own: a store that hangs is noticed long before a slow step.
        if data and waiting and now - waiting.since > data:
            return f"{waiting.what} is stuck: more than {data:.0f} s in {_place(frame)}"
        if step and now - self._step_ended > step:
            return f"no step finished in {step:.0f} s; at work is {_place(frame)}"
        return ""

    def watch(self) -> None:
        """Looks until stopped; leaves the process where something is stuck."""
        while not self._stopped.wait(_POLL_SECONDS):
            if fault := self.fault():
                faulthandler.dump_traceback(sys.__stderr__ or 2)
                message = f"{fault}; the same command goes on from the last checkpoint"
                # Past sys.stderr, whose lock the stuck thread may hold.
                os.write(2, f"{ERROR_PREFIX}{message}\n".encode())
                leave_stuck_process()

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


def _place(frame: FrameType | None) -> str:
    """The innermost call in code of this package, as ``function (file.py:12)``; or nothing."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] == "dico":
            name = os.path.basename(frame.f_code.co_filename)
            return f"{frame.f_code.co_name} ({name}:{frame.f_lineno})"
        frame = frame.f_back
    return ""
