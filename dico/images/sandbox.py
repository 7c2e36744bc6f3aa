"""Looks at pictures in child processes, so that no file can hang, crash or bloat the parent.

A child has a limit on its memory; the parent has a deadline per picture and replaces a child that
died or took too long. The protocol is JSON and raw bytes: nothing a child says can run code.
"""

import hashlib
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
from typing import IO, Any, TypeVar

from dico.images.load import MAX_BYTES, MAX_PIXELS, ImageError
from dico.images.near_duplicates import THUMB_BYTES

T = TypeVar("T")
R = TypeVar("R")
START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one picture may cost."""

    max_pixels: int = MAX_PIXELS
    """Largest width x height."""
    max_bytes: int = MAX_BYTES
    """Largest file in bytes."""
    max_seconds: float = 5.0
    """Deadline per picture, wall-clock seconds."""
    max_memory_bytes: int = 1 << 30
    """Address space that a child may add to what it has when it starts."""


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What was seen in one picture; ``code`` is empty when it is usable."""

    code: str
    detail: str
    sha256: str = ""
    num_bytes: int = 0
    width_px: int = 0
    height_px: int = 0
    flags: tuple[str, ...] = ()
    thumbnail: bytes = b""


class Looker:
    """One child process that looks at pictures; not for several threads at once."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._child: subprocess.Popen[bytes] | None = None

    def look(self, uri: str, data: bytes | None = None) -> PictureFacts:
        """Facts of the local file ``uri``, or of ``data`` that came from ``uri``."""
        request = json.dumps({"uri": uri, "num_bytes": -1 if data is None else len(data)})
        started = self._child is not None and self._child.poll() is None
        if not started:
            self._start()
        deadline = time.monotonic() + self.limits.max_seconds + (0 if started else START_SECONDS)
        try:
            return self._ask(request.encode() + b"\n" + (data or b""), deadline)
        except TimeoutError:
            code = "image_timeout"
            detail = f"{uri}: not decoded within {self.limits.max_seconds:g} s"
        except (EOFError, OSError, ValueError):
            code, detail = "image_damaged", f"{uri}: the decoder died of it"
        self.close()
        return PictureFacts(code, detail)

    def close(self) -> None:
        """Ends the child."""
        if self._child is not None:
            self._child.kill()
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe is not None:
                    pipe.close()
            self._child.wait()
            self._child = None

    def _start(self) -> None:
        self.close()
        limits = self.limits
        arguments = [limits.max_pixels, limits.max_bytes, limits.max_memory_bytes]
        self._child = subprocess.Popen(
            [sys.executable, "-m", "dico.images.sandbox", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)

    def _ask(self, request: bytes, deadline: float) -> PictureFacts:
        assert self._child is not None
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        _send(self._child.stdin.fileno(), request, deadline)
        received = bytearray()
        while b"\n" not in received:
            received += _receive(self._child.stdout.fileno(), deadline)
        line, _, rest = bytes(received).partition(b"\n")
        facts = json.loads(line)
        num_bytes = THUMB_BYTES if not facts["code"] else 0
        while len(rest) < num_bytes:
            rest += _receive(self._child.stdout.fileno(), deadline)
        flags = tuple(map(str, facts.pop("flags")))
        return PictureFacts(flags=flags, thumbnail=rest, **facts)


class Lookers:
    """Several children, one for each worker thread."""

    def __init__(self, num_workers: int, limits: Limits) -> None:
        self.limits, self.num_workers = limits, num_workers
        self._local = threading.local()
        self._all: list[Looker] = []
        self._pool = ThreadPoolExecutor(num_workers)

    def __enter__(self) -> "Lookers":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        for looker in self._all:
            looker.close()

    def look(self, uri: str, data: bytes | None = None) -> PictureFacts:
        """`Looker.look` by this thread's own child."""
        looker = getattr(self._local, "looker", None)
        if looker is None:
            looker = self._local.looker = Looker(self.limits)
            self._all.append(looker)
        return looker.look(uri, data)

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


def _send(pipe: int, data: bytes, deadline: float) -> None:
    view = memoryview(data)
    while view:
        _, ready, _ = select.select([], [pipe], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError
        view = view[os.write(pipe, view[:65_536]) :]


def _receive(pipe: int, deadline: float) -> bytes:
    ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
    if not ready:
        raise TimeoutError
    data = os.read(pipe, 65_536)
    if not data:
        raise EOFError
    return data


def look_at(
    data: bytes, where: str, max_pixels: int, max_bytes: int = MAX_BYTES
) -> tuple[dict[str, Any], bytes]:
    """Facts of a picture's bytes and its thumbnail, in this process."""
    from dico.images.load import check_num_bytes, load_image_bytes, open_image
    from dico.images.near_duplicates import thumbnail

    check_num_bytes(len(data), where, max_bytes)
    header = open_image(data, where, max_pixels, max_bytes)
    flags = []
    if getattr(header, "n_frames", 1) > 1 and header.format not in ("MPO", "HEIF"):
        flags.append("image_animated")
    if header.mode in ("CMYK", "YCCK"):
        flags.append("image_cmyk")
    image = load_image_bytes(data, where, max_pixels, max_bytes)
    small = thumbnail(image)
    if max(small) - min(small) <= 2:
        flags.append("image_blank")
    facts = {
        "code": "",
        "detail": "",
        "sha256": hashlib.sha256(data).hexdigest(),
        "num_bytes": len(data),
        "width_px": image.width,
        "height_px": image.height,
        "flags": flags,
    }
    return facts, small


def serve(requests: IO[bytes], answers: IO[bytes], max_pixels: int, max_bytes: int) -> None:
    """The child's loop: a line of JSON and bytes in, a line of JSON and a thumbnail out."""
    from dico.images.load import read_file

    while line := requests.readline():
        request = json.loads(line)
        small = b""
        try:
            if request["num_bytes"] >= 0:
                data = requests.read(request["num_bytes"])
            else:
                data = read_file(request["uri"], max_bytes)
            facts, small = look_at(data, request["uri"], max_pixels, max_bytes)
        except ImageError as error:
            facts = {"code": error.code, "detail": str(error), "flags": []}
        except MemoryError:
            detail = f"{request['uri']}: decoding needs too much memory"
            facts = {"code": "image_too_large", "detail": detail, "flags": []}
        answers.write(json.dumps(facts).encode() + b"\n" + small)
        answers.flush()


def _main() -> None:
    import resource

    import dico.images.load  # noqa: F401  (loaded before the limit is set)

    max_pixels, max_bytes, max_memory_bytes = map(int, sys.argv[1:4])
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    limit = now + max_memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(sys.stdin.buffer, sys.stdout.buffer, max_pixels, max_bytes)


if __name__ == "__main__":
    _main()
