"""A6: SIGTERM makes a trainer save its state and leave with 75, and the next start goes on."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dico.errors import TryAgainError
from dico.training.distributed import World
from dico.training.resilience.interruption import stopping_on_sigterm

ROOT = Path(__file__).parents[3]


def test_nothing_happens_without_the_signal():
    with stopping_on_sigterm(World()) as stop_if_asked:
        stop_if_asked(pytest.fail)


def test_the_signal_saves_once_and_raises_after_the_step():
    saved = []
    before = signal.getsignal(signal.SIGTERM)
    with stopping_on_sigterm(World()) as stop_if_asked:
        os.kill(os.getpid(), signal.SIGTERM)
        saved.append("the step at work is finished")
        with pytest.raises(TryAgainError, match="the same command continues") as stopped:
            stop_if_asked(lambda: saved.append("saved"))
    assert saved == ["the step at work is finished", "saved"]
    assert stopped.value.exit_code == 75
    assert signal.getsignal(signal.SIGTERM) == before


def test_outside_the_main_thread_the_signal_keeps_its_meaning():
    before = signal.getsignal(signal.SIGTERM)
    during = []

    def work():
        with stopping_on_sigterm(World()) as stop_if_asked:
            during.append(signal.getsignal(signal.SIGTERM))
            stop_if_asked(pytest.fail)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert during == [before]


@pytest.mark.parametrize("stage", ["xe", "dico", "evaluator"])
def test_a_trainer_saves_leaves_with_75_and_goes_on(world, tmp_path, stage):
    """Steps of the interrupted run and of the resumed one are those of one run."""
    store, output = tmp_path / "store", tmp_path / "result.json"
    module = "tests.reliability.trainer"
    command = [sys.executable, "-m", module, stage, str(world), str(store), str(output)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    folder = store / "checkpoints" / "run"
    deadline = time.monotonic() + 60
    while not (folder.is_dir() and any(folder.glob("step-*"))) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert said.splitlines()[-1] == (
        "error: stopped by SIGTERM, progress is saved; the same command continues"
    )
    assert not output.exists()
    newest = max(folder.glob("step-*"))
    step = json.loads((newest / "state.json").read_text())["step"]
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    result = json.loads(output.read_text())
    assert 0 < step < result["steps"]
