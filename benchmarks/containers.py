"""Steps a second of a training in containers with limits, against threads set by hand.

    python benchmarks/containers.py [--image dico:0.1.0] [--rounds 3] [--steps 60]

Cross-entropy of preset toy by ``dico train xe`` of the image, rivals by turns. In ``--cpus 1`` and
``--cpus 2`` nothing is said of threads, and the rival has ``OMP_NUM_THREADS`` set by hand. Then on two
cores, quiet and beside a process that never waits; the rival's threads spin while they wait for each
other, as they do by default. The first third of the steps is not measured.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from measure import table, write

DATA = """set -e
dico toy --output toy --num-train 400 --num-validation 12 --num-test 12
dico validate toy/dataset.jsonl --output checked --no-near-duplicates
dico train evaluator --manifest checked/manifest.parquet --output evaluator --overrides "{evaluator}"
dico features --manifest checked/manifest.parquet --evaluator evaluator --output features
"""
EVALUATOR = (
    "evaluator.num_word_steps=2 evaluator.num_clip_steps=0 evaluator.num_pac_steps=2 "
    "evaluator.batch_size=16"
)
BUSY = "while True: pass"
NOTHING_SET = ("OMP_NUM_THREADS=", "OMP_WAIT_POLICY=", "GOMP_SPINCOUNT=")
SPINNING = ("OMP_NUM_THREADS=2", "OMP_WAIT_POLICY=ACTIVE", "GOMP_SPINCOUNT=10000000000")


class Case(NamedTuple):
    """One way to run the training."""

    options: tuple[str, ...]
    """Options of ``docker run``."""
    variables: tuple[str, ...] = ()
    """NAME=VALUE for the training; a name alone is taken out of the image's own."""
    busy: bool = False
    """Whether a process that never waits runs beside it on the same cores."""


TWO_CORES = ("--cpuset-cpus", "0,1")
CASES = {
    "--cpus 1": Case(("--cpus", "1")),
    "--cpus 1, threads by hand": Case(("--cpus", "1"), ("OMP_NUM_THREADS=1",)),
    "--cpus 2": Case(("--cpus", "2")),
    "--cpus 2, threads by hand": Case(("--cpus", "2"), ("OMP_NUM_THREADS=2",)),
    "two cores, quiet": Case(TWO_CORES),
    "two cores, beside a busy process": Case(TWO_CORES, busy=True),
    "two cores, beside a busy process, threads that spin": Case(TWO_CORES, SPINNING, busy=True),
}


def main() -> None:
    """Measures and writes results/containers.md."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--image", default="dico:0.1.0")
    parser.add_argument("--rounds", type=int, default=3, help="measured turns (default 3)")
    parser.add_argument("--steps", type=int, default=60, help="steps of a training (default 60)")
    options = parser.parse_args()
    speeds: dict[str, list[float]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory(prefix="containers-", ignore_cleanup_errors=True) as working:
        folder = Path(working)
        folder.chmod(0o777)
        in_container(options.image, folder, (), "sh", "-c", DATA.format(evaluator=EVALUATOR))
        for turn in range(options.rounds):
            for number, (name, case) in enumerate(CASES.items()):
                speeds[name].append(train(options, folder, case, f"run-{turn}-{number}"))
    medians = {name: statistics.median(own) for name, own in speeds.items()}
    rows = [
        [name, f"{medians[name]:.1f}", f"{min(own):.1f} to {max(own):.1f}"]
        for name, own in speeds.items()
    ]
    quiet = medians["two cores, quiet"]
    ratios = {
        "--cpus 1 / by hand": medians["--cpus 1"] / medians["--cpus 1, threads by hand"],
        "--cpus 2 / by hand": medians["--cpus 2"] / medians["--cpus 2, threads by hand"],
        "beside a busy process / quiet": medians["two cores, beside a busy process"] / quiet,
    }
    rows += [[name, f"{ratio:.2f}", ""] for name, ratio in ratios.items()]
    result = {"steps_per_second": speeds, "medians": medians, "ratios": ratios}
    write("containers", result, table(["case", "steps/s, median", "range"], rows))


def train(options: argparse.Namespace, folder: Path, case: Case, name: str) -> float:
    """Steps a second of one training in a container of its own."""
    overrides = f"xe.num_steps={options.steps} xe.validate_every_steps=100000"
    command = ["dico", "train", "xe", "--manifest", "checked/manifest.parquet"]
    command += ["--features", "features", "--output", name, "--run-key", name]
    command += ["--overrides", overrides]
    given = [part for variable in case.variables for part in ("--env", variable)]
    with_limits = (*case.options, *given)
    busy = start_busy(options.image, case) if case.busy else ""
    try:
        in_container(options.image, folder, with_limits, *command)
    finally:
        if busy:
            subprocess.run(["docker", "kill", busy], check=True, capture_output=True)
    return speed(folder / name / "history.jsonl", options.steps)


def speed(history: Path, num_steps: int) -> float:
    """Steps a second of the last two thirds, by the times that the training wrote down."""
    rows = [json.loads(line) for line in history.read_text().splitlines()]
    seconds = {row["step"]: row["seconds"] for row in rows if "loss" in row}
    first = num_steps // 3
    return (num_steps - first) / (seconds[num_steps] - seconds[first])


def start_busy(image: str, case: Case) -> str:
    """The id of a container that keeps a core at work."""
    command = ["docker", "run", "--detach", "--rm", *case.options, image, "python3", "-c", BUSY]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def in_container(image: str, folder: Path, options: tuple[str, ...], *command: str) -> None:
    """Runs a command of the image in ``folder``, by the image's own user, without a network."""
    mounted = ["--volume", f"{folder}:/work", "--workdir", "/work", "--network", "none"]
    whole = ["docker", "run", "--rm", *mounted, *options, image, *command]
    done = subprocess.run(whole, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")


if __name__ == "__main__":
    main()
