"""A1, A5, A6: trainers that are killed or asked to stop go on to the bits of one left alone."""

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from dico.training.resilience import supervision
from tests.reliability import trainer
from tests.reliability.kill_resume import asked_to_stop, left_alone, trials
from tests.reliability.result import CONTROL, Result, count
from tests.training import tiny

IDS = ("A1", "A5", "A6")
ROOT = Path(__file__).parents[2]
MAX_SECONDS = 12.0


def check(full: bool) -> list[Result]:
    stages = trainer.STAGES if full else trainer.STAGES[:1]
    with tempfile.TemporaryDirectory(prefix="tiny-") as temporary:
        world = tiny.make_world(Path(temporary))
        rows = [_killed(stage, world, 50 if full else 1) for stage in stages]
        rows.append(_damaged(stages[0], world, 10 if full else 1))
        alone = {stage: _alone(stage, world) for stage in stages}
        rows.append(
            count("A5", "the same command in a new process: bit-identical", _repeated(world, alone))
        )
        rows += [_stopped(stage, world, *alone[stage], 5 if full else 1) for stage in stages]
        return [*rows, _unheard(world)]


def _killed(stage: str, world: Path, kills: int) -> Result:
    begun = time.monotonic()
    equal, resumed, total = trials(stage, world, kills, 0, damage=False)
    name, seconds = f"{stage}: killed and resumed, bit-identical", time.monotonic() - begun
    return Result("A1", name, equal, total, seconds, f"{resumed} resumed from a checkpoint")


def _damaged(stage: str, world: Path, kills: int) -> Result:
    begun = time.monotonic()
    equal, _, total = trials(stage, world, kills, 0, damage=True)
    name = f"{CONTROL}{stage} resumed without the optimiser's state differs"
    note = f"{total - equal} of {total} differ"
    return Result("A1", name, int(equal < total), 1, time.monotonic() - begun, note)


def _alone(stage: str, world: Path) -> tuple[dict, float]:
    with tempfile.TemporaryDirectory(prefix="alone-") as temporary:
        return left_alone(stage, world, Path(temporary))


def _repeated(world: Path, alone: dict[str, tuple[dict, float]]) -> Iterator[bool]:
    """A5: fresh interpreters, twice, against the forked one."""
    for stage, (expected, _) in alone.items():
        for _ in range(2):
            with tempfile.TemporaryDirectory(prefix="again-") as temporary:
                output = Path(temporary) / "result.json"
                paths = [str(world), f"{temporary}/store", str(output)]
                command = [sys.executable, "-m", "tests.reliability.trainer", stage, *paths]
                subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
                yield json.loads(output.read_text()) == expected


def _unheard(world: Path) -> Result:
    """A6 without the handler: the signal ends the trainer at once."""
    handler = supervision.stopping_on_sigterm
    supervision.stopping_on_sigterm = lambda _: nullcontext(lambda _: None)
    begun = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="unheard-") as temporary:
            code, _, _ = asked_to_stop("xe", world, Path(temporary), 0.0)
    finally:
        supervision.stopping_on_sigterm = handler
    name, note = f"{CONTROL}without the signal handler there is no exit 75", f"exit {code}"
    return Result("A6", name, int(code != 75), 1, time.monotonic() - begun, note)


def _stopped(stage: str, world: Path, expected: dict, rest: float, num_tries: int) -> Result:
    """A6: SIGTERM at a random instant of the ``rest`` seconds after the first checkpoint."""
    rng, times = random.Random(stage), []

    def tries() -> Iterator[bool]:
        for _ in range(num_tries):
            with tempfile.TemporaryDirectory(prefix="stopped-") as temporary:
                delay = rng.uniform(0, 0.5) * rest  # none may have ended by then
                code, seconds, result = asked_to_stop(stage, world, Path(temporary), delay)
                times.append(seconds)
                yield code == 75 and seconds <= MAX_SECONDS and result == expected

    row = count(
        "A6", f"{stage}: on SIGTERM saves and exits with 75, resumes bit-identically", tries()
    )
    note = f"within {max(times):.1f} s"
    return Result(row.id, row.name, row.passed, row.total, row.seconds, note)
