"""The frame of a step: which errors are tried again, how often, and what the note says of it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from dico.process import retry

CODE = """
import os, signal, sys, time
from pathlib import Path
from dico import errors
from dico.process import retry
from dico.process.signals import on_sigterm
from dico.steps.step import step
from dico.training.resilience.limits import GuardConfig
from dico.training.resilience.watchdog import watching

retry.SECONDS_BEFORE = {}
fault, num_faults, store, log = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])

def stop():
    raise errors.TryAgainError("stopped by SIGTERM")

with step("work", store) as facts, on_sigterm(stop):
    with log.open("a") as file:
        file.write("try\\n")
    num_tries = len(log.read_text().splitlines())
    if fault == "SIGTERM":
        os.kill(os.getpid(), signal.SIGTERM)
    if fault == "stuck" and num_tries <= num_faults:
        with watching(GuardConfig(max_step_seconds=0.1)):
            time.sleep(60)
    elif num_tries <= num_faults:
        raise getattr(errors, fault)("the bucket is away")
    facts["tries"] = num_tries
"""


@pytest.fixture
def attempt(tmp_path):
    """Runs the step above in a process as a pod does; returns its code and how often it tried."""

    def run(fault, num_faults, node="", own_process=True):
        log = tmp_path / "log"
        before = len(log.read_text().splitlines()) if log.exists() else 0
        marker = ["kfp.dsl.executor_main"] if own_process else []
        command = [sys.executable, "-c", CODE, fault, str(num_faults), str(tmp_path), str(log)]
        environment = {**os.environ, "DICO_RUN_ID": "run-1", retry.NODE_VARIABLE: node}
        done = subprocess.run([*command, *marker], capture_output=True, text=True, env=environment)
        return done.returncode, len(log.read_text().splitlines()) - before, done.stderr

    return run


def note(tmp_path):
    return json.loads((tmp_path / "runs" / "run-1" / "work.note.json").read_text())


@pytest.mark.parametrize(
    ("num_faults", "code", "tries"), [(0, 0, 1), (1, 0, 2), (2, 0, 3), (9, 75, 3)]
)
def test_what_passes_by_itself_is_tried_three_times(attempt, tmp_path, num_faults, code, tries):
    assert attempt("TryAgainError", num_faults)[:2] == (code, tries)
    left = note(tmp_path)
    assert left["tries"] == tries
    assert left["status"] == ("done" if code == 0 else "failed")
    assert left["exit_code"] == code


@pytest.mark.parametrize(("num_faults", "code", "tries"), [(1, 0, 2), (9, 75, 3)])
def test_a_stuck_step_is_tried_again_in_its_pod(attempt, num_faults, code, tries):
    done = attempt("stuck", num_faults)
    assert done[:2] == (code, tries)
    assert "no step finished" in done[2]


def test_a_stuck_process_that_is_no_steps_own_ends(attempt):
    assert attempt("stuck", 9, own_process=False)[:2] == (75, 1)


@pytest.mark.parametrize("fault", ["ConfigError", "DataError", "NonFiniteError", "AccessError"])
def test_mistakes_are_tried_once(attempt, tmp_path, fault):
    code, tries, said = attempt(fault, 9)
    assert (code, tries) == (note(tmp_path)["exit_code"], 1)
    assert said.splitlines()[-1] == "error: the bucket is away"


def test_nothing_is_tried_again_after_sigterm(attempt):
    assert attempt("SIGTERM", 0)[:2] == (75, 1)


def test_a_process_that_is_no_steps_own_is_left_alone(attempt):
    assert attempt("TryAgainError", 9, own_process=False)[:2] == (75, 1)


def test_pods_that_the_cluster_adds_try_no_more(attempt):
    assert attempt("TryAgainError", 9, "w.root.work(0).executor(0)")[:2] == (75, 3)
    for node in ("w.root.work(0).executor(1)", "w.root.work(1).executor(0)"):
        code, tries, said = attempt("TryAgainError", 9, node)
        assert (code, tries) == (75, 0)
        assert said == "error: the bucket is away (not tried again)\n"


def test_a_pod_after_a_mistake_ends_with_its_code(attempt):
    attempt("DataError", 9, "w.executor(0)")
    assert attempt("DataError", 9, "w.executor(1)")[:2] == (65, 0)


def test_a_pod_after_a_deleted_one_goes_on_counting(attempt):
    assert attempt("TryAgainError", 9, "w.executor(1)")[:2] == (75, 2)


def test_a_run_that_a_person_starts_again_is_a_new_one(attempt):
    attempt("DataError", 1, "w.executor(0)")
    assert attempt("DataError", 1, "w.executor(0)")[:2] == (0, 1)


def test_sigterm_during_the_pause_ends_the_step(tmp_path):
    code = CODE.replace("retry.SECONDS_BEFORE = {}", "retry.SECONDS_BEFORE = {2: 60.0}")
    arguments = [
        "TryAgainError",
        "9",
        str(tmp_path),
        str(tmp_path / "log"),
        "kfp.dsl.executor_main",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr:
        if line.startswith("try 2 of 3 follows in 60 s"):
            break
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    assert (tmp_path / "log").read_text() == "try\n"


@pytest.mark.parametrize(
    ("node", "pods"),
    [
        ("", 0),
        ("dico-x.root.exit-handler-1.work.executor", 0),
        ("dico-x(0).root(0).work(0).executor(0)", 0),
        ("dico-x(0).root(0).work(1).executor(2)", 3),
    ],
)
def test_pods_before_are_counted_by_the_nodes_name(monkeypatch, node, pods):
    monkeypatch.setenv(retry.NODE_VARIABLE, node)
    assert retry.num_pods_before() == pods
