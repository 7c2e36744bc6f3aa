"""C1 and C2: each image of the zoo gets the right verdict, and bombs are refused at little cost."""

import io
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from dico.data.formats import detect, read_entries
from dico.images.errors import ImageError
from dico.images.load import load_image, load_image_bytes
from dico.images.sandbox import Inspector, Limits
from dico.images.tar_index import MAX_MEMBERS, TarError, iter_members
from tests.data import zoo
from tests.reliability.result import CONTROL, Result, count, in_time

IDS = ("C1", "C2")
MAX_SECONDS = 2.0
CPU = "of CPU time"
MAX_MORE_BYTES = 512 << 20


def check(full: bool) -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="zoo-") as temporary:
        folder = Path(temporary)
        num_unsafe = len(zoo.UNSAFE_MEMBERS)
        return [
            count("C1", "valid images decode to the right pixels", _accepted()),
            count(
                "C1",
                "invalid images are refused with a reason, by the decoding process",
                _refused(folder),
            ),
            count("C1", "links, pipes and folders: answered in time", _special(folder)),
            _lost("C1", "images that Pillow alone gets wrong", _plain_pillow()),
            count("C2", "decompression bombs are refused within 2 s and 512 MB", _bombs(), CPU),
            _lost("C2", "without a limit, 169 megapixels are decoded", _unlimited()),
            count("C2", f"unsafe tar: {num_unsafe} members named, 0 written", _unsafe(folder)),
            count("C2", "tar of a million members refused at the first too many", _million(folder)),
        ]


def _lost(promise: str, name: str, tries: Iterator[bool]) -> Result:
    """A negative control: it passes when some of the tries go wrong."""
    row = count(promise, CONTROL + name, tries)
    note = f"{row.total - row.passed} of {row.total} go wrong"
    return Result(promise, row.name, int(row.passed < row.total), 1, row.seconds, note)


def _near(pixels: np.ndarray, truth: np.ndarray) -> bool:
    return pixels.shape == truth.shape and bool(
        np.abs(pixels.astype(int) - truth.astype(int)).max() <= zoo.TOLERANCE
    )


def _accepted() -> Iterator[bool]:
    for make, truth in zoo.ACCEPTED.values():
        yield _near(np.asarray(load_image_bytes(make(), "zoo")), truth())


def _refused(folder: Path) -> Iterator[bool]:
    inspector = Inspector(Limits())
    try:
        for make, codes in zoo.REFUSED.values():
            path = folder / "image"
            path.write_bytes(make())
            yield inspector.inspect(str(path)).code in codes.split()
    finally:
        inspector.close()


def _special(folder: Path) -> Iterator[bool]:
    for name, codes in zoo.special_files(folder).items():
        begun, code = time.monotonic(), ""
        try:
            load_image(f"{folder}/{name}")
        except ImageError as error:
            code = error.code
        yield code in (codes.split() or [""]) and in_time(time.monotonic() - begun, 5)


def _plain_pillow() -> Iterator[bool]:
    for make, truth in zoo.ACCEPTED.values():
        yield _near(np.asarray(Image.open(io.BytesIO(make())).convert("RGB")), truth())


def _bombs() -> Iterator[bool]:
    """All in one child, which has looked at a plain image before."""
    inspector = Inspector(Limits())
    try:
        inspector.inspect("warm", zoo.JPEG)
        pid = inspector.pid
        assert pid is not None
        before = _peak_bytes(pid)
        for make, codes in zoo.BOMBS.values():
            data, begun = make(), _cpu_seconds(pid)
            code = inspector.inspect("bomb", data).code
            seconds = _cpu_seconds(pid) - begun
            cheap = in_time(seconds, MAX_SECONDS) and _peak_bytes(pid) - before < MAX_MORE_BYTES
            yield cheap and code in codes.split(" ")
    finally:
        inspector.close()


def _unlimited() -> Iterator[bool]:
    """The same in a child that may decode anything: False where it costs too much."""
    inspector = Inspector(Limits(max_pixels=10**10, max_memory_bytes=8 << 30, max_seconds=120))
    data = zoo.BOMBS["169 megapixels"][0]()
    try:
        inspector.inspect("warm", zoo.JPEG)
        assert inspector.pid is not None
        before = _peak_bytes(inspector.pid)
        inspector.inspect("bomb", data)
        yield _peak_bytes(inspector.pid) - before < MAX_MORE_BYTES
    finally:
        inspector.close()


def _unsafe(folder: Path) -> Iterator[bool]:
    path = folder / "train-000000.tar"
    zoo.unsafe_tar(path)
    before = sorted(folder.iterdir())
    entries = list(read_entries(detect(str(path))))
    found = [code for entry in entries for code, _ in entry.findings]
    yield from (code == "member_unsafe" for code in found)
    yield len(found) == len(zoo.UNSAFE_MEMBERS)
    yield [e.captions for e in entries if not e.findings] == [["a dog on a beach"]]
    yield sorted(folder.iterdir()) == before and not os.path.exists("/tmp/dico-evil.jpg")


def _million(folder: Path) -> Iterator[bool]:
    path, read = folder / "many.tar", 0
    zoo.tar_of_a_million(path)
    try:
        for _ in iter_members(path):
            read += 1
    except TarError:
        yield read == MAX_MEMBERS
    else:
        yield False


def _peak_bytes(process: int) -> int:
    with open(f"/proc/{process}/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _cpu_seconds(process: int) -> float:
    with open(f"/proc/{process}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
