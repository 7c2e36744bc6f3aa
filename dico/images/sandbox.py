"""Images decoded in child processes, so that no file can hang, crash or bloat the parent.

A child has a limit on its memory (`dico.images.decoder`); the parent has a deadline per image and
replaces a child that died or took too long. The protocol is JSON and raw bytes: nothing that a
child says can run code.
"""

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from dico.images.decoder import Job
from dico.images.errors import ImageError
from dico.images.inspection import ImageFacts
from dico.images.limits import MAX_BYTES, MAX_PIXELS

T = TypeVar("T")
R = TypeVar("R")
START_SECONDS = 60.0
PATIENCE = 12
"""How many times its CPU time an image may take by the clock."""
MAX_HEAD_BYTES = 1 << 16
"""Longest line of JSON that a child may answer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one image may cost."""

    max_pixels: int = MAX_PIXELS
    """Largest width x height."""
    max_bytes: int = MAX_BYTES
    """Largest file in bytes."""
    max_seconds: float = 5.0
    """Most CPU time that an image may take, seconds; and `PATIENCE` times as long by the clock, so
    that a busy machine refuses no image."""
    max_memory_bytes: int = 1 << 30
    """Address space that a child may add to what it has when it starts."""


class DecoderProcess:
    """One child process; one image at a time, from any thread."""

    def __init__(
        self, job: Job, max_seconds: float, max_payload_bytes: int, patience: int = 1
    ) -> None:
        """Starts nothing yet.

        Args:
            job: what the child does.
            max_seconds: deadline per image; a child's first one has `START_SECONDS` more.
            max_payload_bytes: most bytes that an answer may have beside its line of JSON.
            patience: how many deadlines to wait for a child that was given less than one of CPU time.
        """
        self._job, self._max_seconds, self._max_payload = job, max_seconds, max_payload_bytes
        self._patience = patience
        self._child: subprocess.Popen[bytes] | None = None
        self._has_answered = False

    def ask(self, where: str, data: bytes | None = None) -> tuple[dict[str, Any], bytes]:
        """Facts and payload of the local file ``where``, or of ``data`` that came from there.

        Raises:
            ImageError: no usable image; or the child died of it, or was too slow, and is replaced.
        """
        request = json.dumps({"where": where, "num_bytes": -1 if data is None else len(data)})
        self.start()
        assert self._child is not None
        more = 0.0 if self._has_answered else START_SECONDS
        deadline = _Deadline(self._child.pid, self._max_seconds, more, self._patience)
        try:
            facts, payload = self._exchange(request.encode() + b"\n" + (data or b""), deadline)
        except TimeoutError:
            self.close()
            detail = f"{where}: not decoded within {self._max_seconds:g} s"
            raise ImageError("image_timeout", detail) from None
        except (EOFError, OSError, ValueError, KeyError, TypeError):
            self.close()
            raise ImageError("image_damaged", f"{where}: it crashed the decoder") from None
        self._has_answered = True
        if facts["code"]:
            raise ImageError(str(facts["code"]), str(facts["detail"]))
        return facts, payload

    @property
    def pid(self) -> int | None:
        """Process id of the child; None before it starts."""
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Starts the child, unless it runs already; it may not be ready before its first answer."""
        if self._child is not None and self._child.poll() is None:
            return
        self.close()
        self._has_answered = False
        self._child = subprocess.Popen(
            [sys.executable, "-m", "dico.images.decoder", self._job.to_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # a terminal's Ctrl-C is for the parent
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)

    def kill(self) -> None:
        """Ends the child from another thread; who waits for its answer is told at once."""
        if child := self._child:
            child.kill()

    def close(self) -> None:
        """Ends the child and forgets it."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
            child.wait()

    def _exchange(self, request: bytes, deadline: "_Deadline") -> tuple[dict[str, Any], bytes]:
        assert self._child is not None
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        _send(self._child.stdin.fileno(), request, deadline)
        received = bytearray()
        while b"\n" not in received:
            if len(received) > MAX_HEAD_BYTES + self._max_payload:
                raise ValueError("no end of the first line")
            received += _receive(self._child.stdout.fileno(), deadline)
        line, _, rest = bytes(received).partition(b"\n")
        facts = json.loads(line)
        num_bytes = int(facts.pop("payload_bytes"))
        if not 0 <= num_bytes <= self._max_payload:
            raise ValueError(f"{num_bytes} bytes were announced")
        payload = bytearray(rest)
        while len(payload) < num_bytes:
            payload += _receive(self._child.stdout.fileno(), deadline)
        if len(payload) > num_bytes:
            raise ValueError("more bytes than were announced")
        return facts, bytes(payload)


class Inspector:
    """One child process that inspects images; not for several threads at once."""

    def __init__(self, limits: Limits) -> None:
        job = Job(
            "inspect",
            max_pixels=limits.max_pixels,
            max_bytes=limits.max_bytes,
            max_memory_bytes=limits.max_memory_bytes,
        )
        self._process = DecoderProcess(job, limits.max_seconds, 1 << 20, PATIENCE)

    @property
    def pid(self) -> int | None:
        """Process id of the child; None before it starts."""
        return self._process.pid

    def inspect(self, uri: str, data: bytes | None = None) -> ImageFacts:
        """Facts of the local file ``uri``, or of ``data`` that came from ``uri``."""
        try:
            facts, thumbnail = self._process.ask(uri, data)
        except ImageError as error:
            return ImageFacts(error.code, str(error))
        flags = tuple(map(str, facts.pop("flags")))
        return ImageFacts(flags=flags, thumbnail=thumbnail, **facts)

    def close(self) -> None:
        """Ends the child."""
        self._process.close()


class Inspectors:
    """Several children, one for each worker thread."""

    def __init__(self, num_workers: int, limits: Limits) -> None:
        self.limits, self.num_workers = limits, num_workers
        self._local = threading.local()
        self._all: list[Inspector] = []
        self._pool = ThreadPoolExecutor(num_workers)

    def __enter__(self) -> "Inspectors":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        for inspector in self._all:
            inspector.close()

    def inspect(self, uri: str, data: bytes | None = None) -> ImageFacts:
        """`Inspector.inspect` by this thread's own child."""
        inspector = getattr(self._local, "inspector", None)
        if inspector is None:
            inspector = self._local.inspector = Inspector(self.limits)
            self._all.append(inspector)
        return inspector.inspect(uri, data)

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
        """Runs ``work`` on each item by the threads, in order, with a bounded number under way."""
        source = iter(items)
        waiting: list[tuple[T, Future[R]]] = []
        window = 8 * self.num_workers
        while True:
            more = islice(source, window - len(waiting))
            waiting.extend((item, self._pool.submit(work, item)) for item in more)
            if not waiting:
                return
            item, future = waiting.pop(0)
            yield item, future.result()


class _Deadline:
    """Until when an answer is waited for: by the clock, and by what the child was given of the CPU."""

    def __init__(self, pid: int, seconds: float, more: float, patience: int) -> None:
        self._pid, self._seconds, self._more, self._turns = pid, seconds, more, patience
        self._until = time.monotonic() + seconds + more
        self._cpu = _cpu_seconds(pid) if patience > 1 else 0.0

    def left(self) -> float:
        """Seconds to wait.

        Raises:
            TimeoutError: none.
        """
        left = self._until - time.monotonic()
        if left > 0:
            return left
        self._turns -= 1
        used = _cpu_seconds(self._pid) - self._cpu if self._turns else 0.0
        if not self._turns or used >= self._seconds + self._more:
            raise TimeoutError
        self._until = time.monotonic() + self._seconds
        return self._seconds


def _cpu_seconds(pid: int) -> float:
    """CPU time that a process has taken; 0 where the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _send(pipe: int, data: bytes, deadline: _Deadline) -> None:
    view = memoryview(data)
    while view:
        if not select.select([], [pipe], [], 0)[1]:
            select.select([], [pipe], [], deadline.left())
            continue
        view = view[os.write(pipe, view[:65_536]) :]


def _receive(pipe: int, deadline: _Deadline) -> bytes:
    while not select.select([pipe], [], [], 0)[0]:
        select.select([pipe], [], [], deadline.left())
    data = os.read(pipe, 65_536)
    if not data:
        raise EOFError
    return data
