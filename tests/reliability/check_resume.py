"""A1: trainers that are ended by SIGKILL go on to the same bits."""

import tempfile
import time
from pathlib import Path

from tests.reliability import trainer
from tests.reliability.kill_resume import trials
from tests.reliability.result import CONTROL, Result
from tests.training import tiny

IDS = ("A1",)


def check(full: bool) -> list[Result]:
    kills, damaged = (50, 10) if full else (1, 1)
    stages = trainer.STAGES if full else trainer.STAGES[:1]
    rows = []
    with tempfile.TemporaryDirectory(prefix="tiny-") as temporary:
        world = tiny.make_world(Path(temporary))
        for stage in stages:
            begun = time.monotonic()
            equal, resumed, total = trials(stage, world, kills, 0, damage=False)
            seconds, note = time.monotonic() - begun, f"{resumed} from a checkpoint"
            rows.append(
                Result("A1", f"{stage}: killed, resumed, equal", equal, total, seconds, note)
            )
        begun = time.monotonic()
        equal, _, total = trials(stages[0], world, damaged, 0, damage=True)
        name = f"{CONTROL}{stages[0]} without the optimiser's state differs"
        note = f"{total - equal} of {total} differ"
        differs = int(equal < total)
        rows.append(Result("A1", name, differs, 1, time.monotonic() - begun, note))
    return rows
