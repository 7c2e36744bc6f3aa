"""A1: ``python -m tests.reliability.kill_resume --kills 50`` prints ``A1 xe: N of M``.

A trainer is ended by SIGKILL at a random instant, from shortly before its first checkpoint on, and
started again with the same command. A resume counts when weights and history are equal to the bit
to those of a trainer that was left alone. ``--damage`` is the negative control: the optimiser's
state is taken out of every checkpoint after the kill, so that not all resumes may be equal.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from safetensors.torch import load_file, save_file

from dico.storage import write_digests
from tests.reliability import trainer
from tests.training import tiny


def start(stage: str, world: Path, folder: Path) -> int:
    """Starts the trainer as a forked process, which has torch loaded already; returns its id."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        with open(folder / "log", "ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        trainer.main(stage, str(world), str(folder / "store"), str(folder / "result.json"))
        code = 0
    except SystemExit as end:
        code = end.code
    finally:
        os._exit(code)
    return 0


def finish(process: int, folder: Path) -> dict:
    """Waits for the trainer's end and reads its result."""
    _, status = os.waitpid(process, 0)
    if status:
        log = (folder / "log").read_text()
        raise SystemExit(f"the trainer ended with {os.waitstatus_to_exitcode(status)}:\n{log}")
    return json.loads((folder / "result.json").read_text())


def left_alone(stage: str, world: Path, folder: Path) -> tuple[dict, float]:
    """What a trainer ends with, and its seconds from the first checkpoint on."""
    process = start(stage, world, folder)
    await_checkpoint(folder)
    begun = time.monotonic()
    result = finish(process, folder)
    return result, time.monotonic() - begun


def killed_and_resumed(
    stage: str, world: Path, folder: Path, delay: float, damage: bool
) -> tuple[dict, bool]:
    """The result after one kill, and whether there was a checkpoint to go on from.

    The kill comes ``delay`` seconds after the first checkpoint, or before it where that is negative.
    """
    process = start(stage, world, folder)
    if damage:  # the first checkpoint has no optimiser's state to lose
        await_checkpoint(folder, "step-*[1-9]")
    else:
        if delay >= 0:
            await_checkpoint(folder)
        time.sleep(abs(delay))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    found = checkpoints_in(folder)
    if damage:
        for checkpoint in found:
            forget_optimizer(checkpoint)
    (folder / "result.json").unlink(missing_ok=True)
    return finish(start(stage, world, folder), folder), bool(found)


def asked_to_stop(stage: str, world: Path, folder: Path, delay: float) -> tuple[int, float, dict]:
    """Exit code and seconds after a SIGTERM ``delay`` after the first checkpoint; what a second
    start ends with.
    """
    process = start(stage, world, folder)
    await_checkpoint(folder)
    time.sleep(delay)
    os.kill(process, signal.SIGTERM)
    begun = time.monotonic()
    _, status = os.waitpid(process, 0)
    seconds = time.monotonic() - begun
    result = finish(start(stage, world, folder), folder)
    return os.waitstatus_to_exitcode(status), seconds, result


def await_checkpoint(folder: Path, name: str = "step-*") -> None:
    """Waits for the first checkpoint of such a name."""
    deadline = time.monotonic() + 120
    while not checkpoints_in(folder, name) and time.monotonic() < deadline:
        time.sleep(0.002)


def checkpoints_in(folder: Path, name: str = "step-*") -> list[Path]:
    return list((folder / "store").glob(f"checkpoints/run/{name}"))


def forget_optimizer(checkpoint: Path) -> None:
    """Takes the optimiser's state out of a checkpoint, which stays whole otherwise."""
    path = checkpoint / "tensors.safetensors"
    kept = {k: v for k, v in load_file(path).items() if not k.startswith("optimizer/")}
    save_file(kept, path)
    write_digests(checkpoint)


def trials(stage: str, world: Path, kills: int, seed: int, damage: bool) -> tuple[int, int, int]:
    """Runs ``kills`` trials; returns how many were equal, had a checkpoint, and were run."""
    rng = random.Random(f"{stage}/{seed}")
    with tempfile.TemporaryDirectory(prefix="kill-resume-") as temporary:
        folder = Path(temporary) / "alone"
        folder.mkdir()
        expected, rest = left_alone(stage, world, folder)
        num_equal = num_resumed = 0
        for number in range(kills):
            folder = Path(temporary) / str(number)
            folder.mkdir()
            delay = rng.uniform(-0.1, 0.9) * rest
            result, resumed = killed_and_resumed(stage, world, folder, delay, damage)
            num_equal += result == expected
            num_resumed += resumed
            shutil.rmtree(folder)
    return num_equal, num_resumed, kills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="kills of each trainer")
    parser.add_argument("--stages", nargs="+", default=trainer.STAGES, choices=trainer.STAGES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--damage", action="store_true", help="the negative control")
    parser.add_argument("--world", type=Path, help="made by tests.training.tiny; default: made now")
    arguments = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory(prefix="tiny-") as temporary:
        world = arguments.world or tiny.make_world(Path(temporary))
        for stage in arguments.stages:
            equal, resumed, kills = trials(
                stage, world, arguments.kills, arguments.seed, arguments.damage
            )
            print(f"A1 {stage}: {equal} of {kills} ({resumed} from a checkpoint)", flush=True)
            good &= equal < kills if arguments.damage else equal == kills
    sys.exit(not good)


if __name__ == "__main__":
    main()
