"""Another try of a step that met a fault that passes, inside the same pod.

Kubeflow cannot be relied on for it: its server of today starts a deleted pod again and no
container that exits with a code, other releases do the reverse, and a pipeline cannot say which
codes are worth another try. So a step that ends with 75 replaces its own process by a fresh one,
three tries in all, counted across the pods that the cluster starts for it.
"""

import atexit
import multiprocessing
import os
import re
import sys
import time
from typing import NoReturn

from dico.errors import TryAgainError
from dico.process.signals import sigterm_received

MAX_TRIES = 3
SECONDS_BEFORE = {2: 15.0, 3: 60.0}
"""Pause before the second and the third try."""

TRY_VARIABLE = "DICO_TRY"
"""Number of this try, set for the process that makes it; absent in a pod's first process."""

NODE_VARIABLE = "DICO_NODE"
"""Argo's name of this pod's node; each group on the way that was tried again adds ``(1)``."""

_EXECUTOR = "kfp.dsl.executor_main"
_current = 0  # number of the try that this process makes; 0 outside a step


def num_pods_before() -> int:
    """Pods that the cluster started for this step before this one."""
    return sum(map(int, re.findall(r"\((\d+)\)", os.environ.get(NODE_VARIABLE, ""))))


def try_in_this_pod() -> int:
    """Number of this try where this pod made one before; else 0."""
    return int(os.environ.get(TRY_VARIABLE, "0"))


def begin_try(number: int) -> None:
    """Says which try of its step this process makes."""
    global _current
    _current = number


def leave_stuck_process() -> NoReturn:
    """Ends a process whose main thread hangs, from another thread; nothing is cleared away.

    A step's own process is replaced by its next try at once, others exit with 75.
    """
    if _current and _may_follow(_current + 1):
        os.write(2, f"try {_current + 1} of {MAX_TRIES} follows\n".encode())
        for child in multiprocessing.active_children():
            child.kill()
        _replace_process({**os.environ, TRY_VARIABLE: str(_current + 1)})
    os._exit(TryAgainError.exit_code)


def _may_follow(number: int) -> bool:
    """Whether try ``number`` may be made: not after SIGTERM, nor where this is no step's process."""
    return number <= MAX_TRIES and _EXECUTOR in sys.orig_argv and not sigterm_received()


class AnotherTry:
    """Starts this process again when it exits, once armed.

    Made before a step begins, so that all that the step leaves to the interpreter's exit (threads,
    temporary folders, workers) is cleared away first.
    """

    def __init__(self) -> None:
        self._number = 0
        atexit.register(self._start)

    def arm(self, number: int) -> bool:
        """Makes try ``number`` follow, where it may."""
        possible = _may_follow(number)
        self._number = number if possible else 0
        return possible

    def _start(self) -> None:
        if not self._number:
            return
        pause = SECONDS_BEFORE.get(self._number, 0.0)
        print(f"try {self._number} of {MAX_TRIES} follows in {pause:.0f} s", file=sys.stderr)
        _flush()
        for child in multiprocessing.active_children():
            child.terminate()
            child.join(5)
        time.sleep(pause)
        _replace_process({**os.environ, TRY_VARIABLE: str(self._number)})


def is_worth_another_try(error: BaseException) -> bool:
    """Whether ``error`` is one that passes by itself: exit code 75."""
    return getattr(error, "exit_code", None) == TryAgainError.exit_code


def _replace_process(environment: dict[str, str]) -> NoReturn:
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
