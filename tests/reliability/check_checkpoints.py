"""A2, B5 and B6 for checkpoints: killed at every system call, no space, flipped bits."""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tests.reliability import saver
from tests.reliability.result import CONTROL, Result, count

IDS = ("A2", "B5", "B6")
ROOT = Path(__file__).parents[2]


def check(full: bool) -> list[Result]:
    return [*_killed(full), *_full_disk(full), *_flipped(full)]


def _killed(full: bool) -> list[Result]:
    """A2: the previous checkpoint or the new one, and the next saving does."""
    name = "killed at each write, fsync and rename of a checkpoint: one still loads"
    if shutil.which("strace") is None:
        return [Result("A2", name, 0, 0, 0.0, "strace is not installed")]
    try:
        places = _places(saver.save)
    except OSError as error:
        return [Result("A2", name, 0, 0, 0.0, f"no process may be traced here: {error}")]
    chosen = places if full else places[:: max(1, len(places) // 8)]
    died: list[bool] = []

    def tries() -> Iterator[bool]:
        for call, number in chosen:
            killed, step = saver.killed_at(saver.save, call, number)
            died.append(killed)
            yield step in (1, 2)

    kept = count("A2", name, tries())
    in_place = _places(saver.save_in_place)
    in_place = in_place if full else in_place[:: max(1, len(in_place) // 8)]
    begun = time.monotonic()
    lost = sum(saver.killed_at(saver.save_in_place, *place)[1] not in (1, 2) for place in in_place)
    control = Result(
        "A2",
        f"{CONTROL}checkpoints written in place are lost",
        int(lost > 0),
        1,
        time.monotonic() - begun,
        f"{lost} of {len(in_place)} lost",
    )
    note = f"{sum(died)} were killed"
    return [Result("A2", kept.name, kept.passed, kept.total, kept.seconds, note), control]


def _places(saving: saver.Save) -> list[tuple[str, int]]:
    calls = saver.calls_of(saving)
    return [(call, n) for call, times in sorted(calls.items()) for n in range(1, times + 1)]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from dico.process.exits import exit_codes
from tests.reliability import saver
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
with exit_codes():
    saver.save(Path(sys.argv[1]), saver.small_state(2))
"""
PREFLIGHT = """
import sys
from pathlib import Path
from dico.process.exits import exit_codes
from tests.reliability import saver
with exit_codes():
    state = saver.small_state(0)
    state.num_bytes = lambda: 1 << 62
    saver.checkpoints(Path(sys.argv[1])).resume(state)
"""


def _full_disk(full: bool) -> list[Result]:
    """B5: writes fail at some byte, or everywhere; the previous checkpoint stays."""
    limits = [0, 1, 100, 4096, 50_000, 65_536, 70_000] if full else [100]

    def tries() -> Iterator[bool]:
        for limit in limits:
            with tempfile.TemporaryDirectory(prefix="full-") as temporary:
                code = _run(FULL_DISK, temporary, str(limit))
                yield code == 74 and saver.loaded_step(Path(temporary)) == 1

    def too_little() -> Iterator[bool]:
        with tempfile.TemporaryDirectory(prefix="full-") as temporary:
            yield _run(PREFLIGHT, temporary) == 74 and saver.loaded_step(Path(temporary)) == 1

    return [
        count("B5", "writing a checkpoint fails: exit 74, the previous one is intact", tries()),
        count("B5", "too little disk space: refused before training, exit 74", too_little()),
    ]


def _run(code: str, folder: str, *arguments: str) -> int:
    saver.save(Path(folder), saver.small_state(1))
    command = [sys.executable, "-c", code, folder, *arguments]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    return done.returncode


def _flipped(full: bool) -> list[Result]:
    """B6: one flipped bit in weights, optimiser's state, JSON or digests."""
    rng = random.Random(0)
    num_flips = 300 if full else 20

    def tries() -> Iterator[bool]:
        with tempfile.TemporaryDirectory(prefix="flip-") as temporary:
            folder = Path(temporary)
            saver.save(folder, saver.small_state(1))
            files = sorted((folder / "run" / "step-00000001").iterdir())
            for _ in range(num_flips):
                path = rng.choice(files)
                whole = path.read_bytes()
                data = bytearray(whole)
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
                path.write_bytes(data)
                # A digest may be equal after a change of white space or of a letter's case alone.
                yield saver.loaded_step(folder) in ((0, 1) if path.suffix == ".json" else (0,))
                path.write_bytes(whole)

    def unverified() -> Iterator[bool]:
        with tempfile.TemporaryDirectory(prefix="flip-") as temporary:
            path = Path(temporary) / "tensors.safetensors"
            save_file(saver.small_state(1).tensors(), path)
            whole = path.read_bytes()
            for _ in range(num_flips):
                data = bytearray(whole)
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
                path.write_bytes(data)
                with contextlib.suppress(SafetensorError):
                    load_file(path)
                    yield True

    begun = time.monotonic()
    silent = sum(unverified())
    name, note = f"{CONTROL}without digests they load", f"{silent} of {num_flips} loaded"
    return [
        count("B6", "a checkpoint with one flipped bit is never loaded", tries()),
        Result("B6", name, int(silent > 0), 1, time.monotonic() - begun, note),
    ]
