"""The child process that decodes images, with a limit on its memory and without torch.

Its one argument says what it does (`Job`). A request is a line ``{"where", "num_bytes"}`` and as
many bytes, or none where ``num_bytes`` is -1 and ``where`` names a file; an answer is a line of
JSON with ``code``, ``detail`` and ``payload_bytes``, and as many bytes. `dico.images.sandbox` is
the other end.
"""

import json
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import IO, Any, Literal

from dico.configuration.schema import from_json
from dico.images.errors import ImageError
from dico.images.frame import Frame
from dico.images.inspection import inspect_image
from dico.images.limits import MAX_BYTES, MAX_PIXELS
from dico.images.load import load_image_bytes, read_file

Answer = tuple[dict[str, Any], bytes]


@dataclass(frozen=True)
class Job:
    """What a child does with each image, and what one image may cost."""

    task: Literal["inspect", "frame"] = "inspect"
    """``inspect``: facts and a grey thumbnail; ``frame``: the RGB bytes that a model sees."""
    frame: Frame | None = None
    """Which part of an image the model sees, for ``frame``."""
    max_pixels: int = MAX_PIXELS
    """Largest width x height."""
    max_bytes: int = MAX_BYTES
    """Largest file, bytes."""
    max_memory_bytes: int = 1 << 30
    """Address space that the child may add to what it has when it starts, bytes."""

    def to_json(self) -> str:
        """The child's argument."""
        return json.dumps(asdict(self))


def serve(requests: IO[bytes], answers: IO[bytes], job: Job) -> None:
    """Answers requests until there are no more."""
    decode = {"inspect": _inspect, "frame": _cut}[job.task]
    while line := requests.readline():
        request = json.loads(line)
        where, num_bytes = request["where"], request["num_bytes"]
        data = requests.read(num_bytes) if num_bytes >= 0 else None
        facts, payload = _answer(decode, data, where, job)
        head = {"code": "", "detail": "", **facts, "payload_bytes": len(payload)}
        answers.write(json.dumps(head).encode() + b"\n" + payload)
        answers.flush()


def _answer(
    decode: Callable[[bytes, str, Job], Answer], data: bytes | None, where: str, job: Job
) -> Answer:
    try:
        return decode(read_file(where, job.max_bytes) if data is None else data, where, job)
    except ImageError as error:
        return {"code": error.code, "detail": str(error)}, b""
    except MemoryError:
        detail = f"{where}: decoding needs too much memory"
        return {"code": "image_too_large", "detail": detail}, b""


def _inspect(data: bytes, where: str, job: Job) -> Answer:
    return inspect_image(data, where, job.max_pixels, job.max_bytes)


def _cut(data: bytes, where: str, job: Job) -> Answer:
    assert job.frame is not None
    cut = job.frame.cut(load_image_bytes(data, where, job.max_pixels, job.max_bytes))
    return {"size": cut.size}, cut.tobytes()


def _limit_memory(num_bytes: int) -> None:
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + num_bytes, now + num_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    job = from_json(Job, sys.argv[1], "job")
    _limit_memory(job.max_memory_bytes)  # after the imports above
    serve(sys.stdin.buffer, sys.stdout.buffer, job)
