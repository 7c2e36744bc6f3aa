"""The promises and what shows them: ``python -m tests.reliability [--quick] [--only A1,B4]``.

A check is a module of this folder with ``IDS``, the promises it looks at, and
``check(full: bool) -> list[Result]``; with ``full`` off it tries less and is done in seconds. Each
line is ``id check: N of M seconds``. The exit code is 1 when a bar is missed.
"""

import argparse
import importlib
import logging
import os
import platform
import sys
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.reliability import result
from tests.reliability.result import CONTROL, Result

MODULES = (
    "check_resume",
    "check_checkpoints",
    "check_ranks",
    "check_launching",
    "check_guards",
    "check_storage_faults",
    "check_lying_storage",
    "check_denied_storage",
    "check_full_disk",
    "check_flipped_bits",
    "check_images",
    "check_captions",
    "check_structure",
    "check_leakage",
    "check_features",
    "check_pickles",
    "check_wrong_weights",
    "check_config",
    "check_secrets",
    "check_tampering",
    "check_pods",
    "check_registry",
    "check_gate",
)  # fmt: skip
HEADER = """# Reliability: promises and test results

Written by `make reliability` on {date}: {machine}, one thread, {minutes:.0f} minutes{scope}.
In a row that starts with *control* the protection is switched off; it passes if the failure then happens.
What the promises mean and what to do after each failure is described in [operations.md](operations.md).

| | check | passed | of | seconds | |
|---|---|--:|--:|--:|---|
"""


def results(full: bool, only: frozenset[str]) -> Iterator[Result]:
    """The rows of all modules that look at one of ``only``; empty means all of them."""
    for name in MODULES:
        module = importlib.import_module(f"tests.reliability.{name}")
        if only and only.isdisjoint(module.IDS):
            continue
        begun = time.monotonic()
        try:
            found = module.check(full)
        except Exception as error:
            traceback.print_exc()
            seconds = time.monotonic() - begun
            found = [Result(module.IDS[0], name, 0, 1, seconds, f"{type(error).__name__}: {error}")]
        yield from (row for row in found if not only or row.id in only)


def line(row: Result) -> str:
    """One aligned line of the table on the terminal."""
    verdict = "" if row.good else "  MISSED"
    counts = f"{row.passed:>5} of {row.total:<5}"
    note = f"  {row.note}" if row.note else ""
    return f"{row.id:<3} {row.name + ':':<72} {counts} {row.seconds:7.1f} s{verdict}{note}"


def page(rows: list[Result], full: bool, seconds: float) -> str:
    """The content of docs/reliability.md."""
    import torch

    machine = (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}"
    )
    header = HEADER.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=machine,
        minutes=seconds / 60,
        scope="" if full else ", the quick subset",
    )
    return header + "".join(_table_row(row) for row in rows)


def updated(old: str, rows: list[Result]) -> str:
    """A page with the rows of these promises in place of its own; it keeps its date."""
    heads = tuple({f"| {row.id} | " for row in rows})
    lines = old.splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(heads)]
    place = next((n for n, line in enumerate(lines) if line.startswith(heads)), len(kept))
    return "".join([*kept[:place], *(_table_row(row) for row in rows), *kept[place:]])


def _table_row(row: Result) -> str:
    name = row.name.replace(CONTROL, "*control*: ").replace("|", "\\|")
    verdict = "" if row.good else "**missed**. "
    note = verdict + row.note.replace("|", "\\|")
    return f"| {row.id} | {name} | {row.passed} | {row.total} | {row.seconds:.1f} | {note} |\n"


def main() -> None:
    """Runs the checks, prints the table and writes it where asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small counts")
    parser.add_argument("--only", default="", help="promises to check, such as A1,B4")
    parser.add_argument("--write", type=Path, help="file for the table; with --only, its rows")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.getLogger("dico").setLevel(logging.CRITICAL)  # faults are provoked by the hundred
    result.timed = True
    full, begun = not arguments.quick, time.monotonic()
    only = frozenset(name for name in arguments.only.upper().split(",") if name)
    rows = []
    for row in results(full, only):
        print(line(row), flush=True)
        rows.append(row)
    missed = [row for row in rows if not row.good]
    print(f"{len(rows) - len(missed)} of {len(rows)} bars reached")
    if arguments.write and only:
        arguments.write.write_text(updated(arguments.write.read_text(), rows), encoding="utf-8")
    elif arguments.write:
        arguments.write.write_text(page(rows, full, time.monotonic() - begun), encoding="utf-8")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
