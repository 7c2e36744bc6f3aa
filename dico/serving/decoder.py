"""The child process that decodes pictures for a server; without torch, with a limit on its memory.

One request is a line ``{"num_bytes": n}`` and n bytes; one answer a line ``{"code", "detail"}``
and, where the code is empty, the RGB bytes of the square that the vision tower sees.
"""

import json
import resource
import sys
from typing import IO

from dico.data.images import ImageError, load_image_bytes
from dico.models.square import cut_square

WHERE = "picture"
_EXTRA_MEMORY_BYTES = 1 << 30


def serve(
    requests: IO[bytes], answers: IO[bytes], size_px: int, interpolation: str, max_pixels: int
) -> None:
    """Answers requests until there are no more."""
    while line := requests.readline():
        data = requests.read(json.loads(line)["num_bytes"])
        facts, square = decode(data, size_px, interpolation, max_pixels)
        answers.write(json.dumps(facts).encode() + b"\n" + square)
        answers.flush()


def decode(
    data: bytes, size_px: int, interpolation: str, max_pixels: int
) -> tuple[dict[str, str], bytes]:
    """The answer to one picture."""
    try:
        picture = load_image_bytes(data, WHERE, max_pixels)
        square = cut_square(picture, size_px, interpolation).tobytes()
    except ImageError as error:
        return {"code": error.code, "detail": str(error)}, b""
    except MemoryError:
        detail = f"{WHERE}: decoding needs too much memory"
        return {"code": "image_too_large", "detail": detail}, b""
    return {"code": "", "detail": ""}, square


def _limit_memory() -> None:
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    limit = now + _EXTRA_MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    size_px, interpolation, max_pixels = sys.argv[1:4]
    _limit_memory()
    serve(sys.stdin.buffer, sys.stdout.buffer, int(size_px), interpolation, int(max_pixels))
