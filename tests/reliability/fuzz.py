"""Fuzzes the parsers: ``python -m tests.reliability.fuzz [--seconds 20] [--targets tar,...]``.

Hypothesis changes good inputs; atheris, where it is installed (``pip install '.[fuzz]'``), looks
for new paths through the code. What makes a parser raise anything but its own refusals is printed
with its bytes, and the exit code is 1.
"""

import argparse
import importlib.util
import logging
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.reliability import result
from tests.reliability.fuzz_targets import TARGETS, politely, seeds
from tests.reliability.result import in_time

ROOT = Path(__file__).parents[2]
_SLOW = 5.0
"""A parser that takes longer over a few kilobytes hangs, seconds."""


def changed(good: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """``good`` with some of its parts replaced: (place, number of bytes, new bytes)."""
    data = bytearray(good)
    for place, length, new in edits:
        start = place % (len(data) + 1)
        data[start : start + length] = new
    return bytes(data)


_TOKENS = [b"\0", b"\xff", b'"', b"{", b"[", b"]", b"}", b",", b"-1", b"9" * 40, b"1e999", b"NaN",
           b"null", b"\\ud800", b"\xed\xa0\x80", b"../", b"\n", b"\r", b"=", b"\xef\xbb\xbf",
           b"18446744073709551616", b"\x7f\xff\xff\xff"]  # fmt: skip
_EDIT = st.tuples(
    st.integers(0, 1 << 16),
    st.integers(0, 8),
    st.one_of(st.binary(max_size=6), st.sampled_from(_TOKENS)),
)


def inputs(name: str) -> st.SearchStrategy[bytes]:
    """Changed good inputs of a target, and bytes of any kind."""
    near = st.builds(changed, st.sampled_from(seeds(name)), st.lists(_EDIT, max_size=4))
    return st.one_of(near, near, near, st.binary(max_size=300))


def by_hypothesis(name: str, max_examples: int) -> int:
    """Tries inputs; returns how many. An exception that is no refusal comes through."""
    tried = 0

    @settings(
        max_examples=max_examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(name))
    def run(data: bytes) -> None:
        nonlocal tried
        started = time.monotonic()
        politely(name, data)
        tried += 1
        assert in_time(time.monotonic() - started, _SLOW), f"{name} hangs"

    run()
    return tried


def by_hypothesis_for(name: str, seconds: float) -> int:
    """Tries other inputs again and again for so long; returns how many."""
    begun, tried = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        tried += by_hypothesis(name, 200)
    return tried


def by_atheris(name: str, seconds: float) -> int:
    """Runs libFuzzer in a process of its own, which it ends; returns how many inputs it tried."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        corpus = Path(temporary) / "corpus"
        corpus.mkdir()
        for number, data in enumerate(seeds(name)):
            (corpus / str(number)).write_bytes(data)
        options = [f"-max_total_time={round(seconds)}", f"-timeout={round(_SLOW)}", "-verbosity=1"]
        command = [sys.executable, "-m", "tests.reliability.fuzz_atheris", name, *options]
        done = subprocess.run(
            [*command, f"-artifact_prefix={temporary}/", str(corpus)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            found = [path.read_bytes() for path in Path(temporary).glob("*-*")]
            raise AssertionError(f"{done.stderr[-3000:]}\ninput: {found[:1]!r}")
        counts = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("Done")]
        return int(counts[-1]) if counts else 0


def main() -> None:
    """Fuzzes each target and prints a line for it."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each target and engine")
    parser.add_argument("--targets", default=",".join(TARGETS))
    arguments = parser.parse_args()
    result.timed = True
    logging.disable(logging.CRITICAL)
    engines = {"hypothesis": lambda name: by_hypothesis_for(name, arguments.seconds)}
    if importlib.util.find_spec("atheris"):
        engines["atheris"] = lambda name: by_atheris(name, arguments.seconds)
    else:
        print("atheris is not installed: hypothesis alone; pip install '.[fuzz]' on Linux")
    failed = 0
    for name in arguments.targets.split(","):
        for engine, run in engines.items():
            try:
                print(f"{name:<18} {engine:<11} {run(name):>9,} inputs, none breaks it", flush=True)
            except Exception:
                failed += 1
                print(f"{name:<18} {engine:<11} BROKEN", flush=True)
                traceback.print_exc()
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
