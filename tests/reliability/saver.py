"""One saving of a checkpoint in a process of its own, to be killed at a chosen system call."""

import json
import os
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from dico.storage import open_store, write_digests
from dico.training.resilience.checkpoint import Checkpoints
from dico.training.resilience.state import TrainingState

CALLS = "write,pwrite64,fsync,rename,renameat,renameat2,mkdir,unlink,unlinkat,rmdir,ftruncate,fallocate,openat,close"
"""What can leave files half done; ``openat`` and ``close`` lie between them."""
Save = Callable[[Path, TrainingState], None]


def small_state(step: int) -> TrainingState:
    """A state whose weights all equal its step."""
    model = torch.nn.Linear(64, 256)
    torch.nn.init.constant_(model.weight, float(step))
    torch.nn.init.constant_(model.bias, float(step))
    state = TrainingState(model, torch.optim.Adam(model.parameters()))
    state.step = step
    return state


def checkpoints(folder: Path) -> Checkpoints:
    """Only the newest is kept, so that each saving removes one too."""
    return Checkpoints(open_store(folder), "run", num_kept=1)


def save(folder: Path, state: TrainingState) -> None:
    """As training saves."""
    checkpoints(folder).save(state)


def save_in_place(folder: Path, state: TrainingState) -> None:
    """As one would without care: over the previous checkpoint's files."""
    (place,) = (folder / "run").glob("step-*")
    save_file(state.tensors(), place / "tensors.safetensors")
    (place / "state.json").write_text(json.dumps(state.summary()))
    write_digests(place)


def loaded_step(folder: Path) -> int:
    """Step of the checkpoint that is found; 0 for none, -1 where its weights are not its own."""
    state = small_state(0)
    if not checkpoints(folder).resume(state):
        return 0
    values = torch.nn.utils.parameters_to_vector(state.model.parameters())
    return state.step if bool((values == float(state.step)).all()) else -1


def traced(folder: Path, saving: Save, *options: str) -> int:
    """Saves step 2 in a forked process under strace with ``options``; returns its status."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(writing)
        try:
            os.read(reading, 1)
            saving(folder, small_state(2))
        finally:
            os._exit(0)
    os.close(reading)
    command = ["strace", "-f", "-p", str(process), "-e", f"trace={CALLS}", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        os.write(writing, b"x")
        os.close(writing)
        if "attached" not in said:
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        tracer.stderr.read()
    if "attached" not in said:
        raise OSError(f"strace: {said.strip()}")
    return status


def calls_of(saving: Save) -> Counter[str]:
    """How often one saving makes each system call."""
    with tempfile.TemporaryDirectory(prefix="saver-") as temporary:
        folder, log = Path(temporary) / "store", Path(temporary) / "log"
        save(folder, small_state(1))
        traced(folder, saving, "-o", str(log))
        lines = [line for line in log.read_text().splitlines() if "(" in line]
        names = [line.split("(")[0].split()[-1] for line in lines]
    return Counter(name for name in names if name in CALLS.split(","))


def killed_at(saving: Save, call: str, number: int) -> tuple[bool, int]:
    """Kills a saving of step 2 on the ``number``-th ``call``: whether it died, and what loads."""
    with tempfile.TemporaryDirectory(prefix="saver-") as temporary:
        folder = Path(temporary) / "store"
        save(folder, small_state(1))
        options = ["-o", os.devnull, "-e", f"inject={call}:signal=SIGKILL:when={number}"]
        status = traced(folder, saving, *options)
        step = loaded_step(folder)
        save(folder, small_state(3))
        again = loaded_step(folder) == 3 and len(list((folder / "run").iterdir())) == 1
        return os.WIFSIGNALED(status), step if again else -1
