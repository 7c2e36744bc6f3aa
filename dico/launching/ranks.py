"""The ranks of one node: torchrun starts them, each calls the step.

``python -m dico.launching rank FOLDER`` is one rank. It reads the call from FOLDER and notes there
why it failed, since torchrun keeps neither exit codes nor messages.
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dico.errors import ConfigError, DicoError, TryAgainError
from dico.process.limits import THREADS_VARIABLE, WAIT_VARIABLES, threads_of_each
from dico.process.signals import on_sigterm

CALL = "call.json"
STANDALONE = ("--standalone", "--nnodes=1")


class RankFailedError(DicoError):
    """A rank failed; ``exit_code`` is its own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def call_step(step: str, arguments: Mapping[str, Any]) -> None:
    """Calls a step by its name, in this process."""
    module = importlib.import_module(f"dico.steps.{step}")
    getattr(module, step)(**arguments)


def run_ranks(
    step: str,
    arguments: Mapping[str, Any],
    num_processes: int,
    rendezvous: Sequence[str] = STANDALONE,
) -> None:
    """Calls a step in ``num_processes`` processes that know of each other; waits for all.

    SIGTERM is passed on, so that the ranks save their state first.

    Args:
        step: name of the step.
        arguments: its arguments.
        num_processes: processes of this node.
        rendezvous: options of torchrun that say who the other nodes are; none by default.

    Raises:
        TryAgainError: a rank died without a word.
        RankFailedError: a rank failed; the message and the code are those of the first that did.
    """
    with tempfile.TemporaryDirectory(prefix="dico-ranks-") as name:
        folder = Path(name)
        (folder / CALL).write_text(json.dumps({"step": step, "arguments": dict(arguments)}))
        command = [
            *(sys.executable, "-m", "torch.distributed.run", *rendezvous),
            *(f"--nproc-per-node={num_processes}", "--max-restarts=0"),
            *("-m", "dico.launching", "rank", name),
        ]
        process = subprocess.Popen(command, env=_environment(num_processes, rendezvous))
        with on_sigterm(process.terminate):
            code = process.wait()
        if code != 0:
            raise _first_failure(folder)


def _environment(num_processes: int, rendezvous: Sequence[str]) -> dict[str, str]:
    """Cores shared out among the ranks; on one node they talk by the loopback, a name or none."""
    environment = {**WAIT_VARIABLES, **os.environ}
    if threads := threads_of_each(num_processes):
        environment[THREADS_VARIABLE] = str(threads)
    if rendezvous is STANDALONE and sys.platform == "linux":
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
    return environment


def _first_failure(folder: Path) -> DicoError:
    notes = [json.loads(path.read_text()) for path in folder.glob("failed-*.json")]
    if not notes:
        return TryAgainError(
            "a training process died without a word (out of memory, or its node went away); the "
            "same command continues the work"
        )
    first = min(notes, key=lambda note: note["time"])
    return RankFailedError(f"rank {first['rank']}: {first['message']}", first["exit_code"])


def run_rank(folder: Path) -> None:
    """One rank, started by torchrun: calls the step, and notes why it failed."""
    call = json.loads((folder / CALL).read_text())
    try:
        _require_device()
        call_step(call["step"], call["arguments"])
    except Exception as error:
        _note(folder, error)
        raise


def _require_device() -> None:
    import torch

    num_gpus, num_ranks = torch.cuda.device_count(), int(os.environ["LOCAL_WORLD_SIZE"])
    if 0 < num_gpus < num_ranks:
        raise ConfigError(
            f"{num_ranks} processes for {num_gpus} GPUs: ask for as many GPUs as processes"
        )
    if num_gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


def _note(folder: Path, error: Exception) -> None:
    rank = os.environ["RANK"]
    note = {
        "rank": int(rank),
        "time": time.time(),
        "exit_code": getattr(error, "exit_code", DicoError.exit_code),
        "message": str(error)
        if isinstance(error, DicoError)
        else f"{type(error).__name__}: {error}",
    }
    path = folder / f"failed-{rank}.json"
    path.with_suffix(".part").write_text(json.dumps(note))
    path.with_suffix(".part").rename(path)
