"""The child process that decodes pictures for a server; without torch, with a limit on its memory.

One request is a line ``{"num_bytes": n}`` and n bytes; one answer a line ``{"code", "detail",
"size"}`` and, where the code is empty, the RGB bytes of the frame that the model sees, of that width
and height.
"""

import json
import resource
import sys
from typing import IO

from dico.config_schema import from_json
from dico.images.frame import Frame
from dico.images.load import ImageError, load_image_bytes

WHERE = "picture"
_EXTRA_MEMORY_BYTES = 1 << 30


def serve(requests: IO[bytes], answers: IO[bytes], frame: Frame, max_pixels: int) -> None:
    """Answers requests until there are no more."""
    while line := requests.readline():
        data = requests.read(json.loads(line)["num_bytes"])
        facts, cut = decode(data, frame, max_pixels)
        answers.write(json.dumps(facts).encode() + b"\n" + cut)
        answers.flush()


def decode(data: bytes, frame: Frame, max_pixels: int) -> tuple[dict[str, object], bytes]:
    """The answer to one picture."""
    try:
        picture = load_image_bytes(data, WHERE, max_pixels)
        cut = frame.cut(picture)
    except ImageError as error:
        return {"code": error.code, "detail": str(error)}, b""
    except MemoryError:
        detail = f"{WHERE}: decoding needs too much memory"
        return {"code": "image_too_large", "detail": detail}, b""
    return {"code": "", "detail": "", "size": cut.size}, cut.tobytes()


def _limit_memory() -> None:
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    limit = now + _EXTRA_MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    frame, max_pixels = from_json(Frame, sys.argv[1], "frame"), int(sys.argv[2])
    _limit_memory()
    serve(sys.stdin.buffer, sys.stdout.buffer, frame, max_pixels)
