"""The local runner: results, cache, logs, exit codes and the run's folder, on a small pipeline."""

import gc
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from kfp import compiler

from dico.errors import ConfigError, DataError, UsageError
from dico_pipelines.local import runner as local
from dico_pipelines.local.runner import StepFailedError, run
from tests.pipelines.small import small


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    path = tmp_path_factory.mktemp("pipeline") / "small.yaml"
    compiler.Compiler().compile(small, str(path))
    return path


def statuses(folder):
    steps = json.loads((folder / "run.json").read_text())["steps"]
    return {step["step"]: step["status"] for step in steps}


def test_run_leaves_everything_in_its_folder(pipeline, tmp_path, capfd):
    folder = run(pipeline, ["times=3"], tmp_path / "runs", "first")
    assert folder == tmp_path / "runs" / "first"
    assert (folder / "outputs" / "count" / "counted").read_text() == "ababab"
    assert (folder / "outputs" / "repeat" / "repeated" / "twice.txt").read_text() == "ab" * 6
    assert "counting ab" in (folder / "logs" / "count.log").read_text()
    summary = json.loads((folder / "run.json").read_text())
    assert summary["status"] == "done"
    assert summary["parameters"] == {"text": "ab", "times": 3, "fault": "", "pods": {}}
    count = next(step for step in summary["steps"] if step["step"] == "count")
    assert count["outputs"]["length"] == "6"
    assert count["seconds"] > 0
    assert count["peak_memory_mb"] > 10
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("small: 3 steps")
    assert [line.split()[2] for line in lines[1:4]] == ["count", "judge", "repeat"]
    assert not any("KFP" in line or "python3" in line for line in lines)


def test_a_run_without_containers_needs_no_client_of_an_engine(pipeline, tmp_path):
    blocked = "import sys; sys.modules['docker'] = None; from dico.cli import main; main()"
    command = [sys.executable, "-c", blocked, "run", str(pipeline), "--runs", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_second_run_is_cached_and_an_edited_input_is_not(pipeline, tmp_path):
    runs = tmp_path / "runs"
    run(pipeline, [], runs, "first")
    again = run(pipeline, [], runs, "again")
    assert statuses(again) == {"count": "cached", "repeat": "cached", "judge": "done"}
    assert (again / "outputs" / "count" / "counted").read_text() == "abab"
    edited = run(pipeline, ["text=xy"], runs, "edited")
    assert statuses(edited) == {"count": "done", "repeat": "done", "judge": "done"}
    assert (edited / "outputs" / "count" / "counted").read_text() == "xyxy"


def test_edited_code_is_not_served_from_the_cache(pipeline, tmp_path, monkeypatch):
    runs = tmp_path / "runs"
    run(pipeline, [], runs, "first")
    monkeypatch.setattr(local, "code_digest", lambda: "another")
    assert statuses(run(pipeline, [], runs, "edited"))["count"] == "done"


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        ("ConfigError", 2, "judge: length 4: judged bad"),
        ("DataError", 65, "judge: length 4: judged bad"),
        ("NonFiniteError", 70, "judge: length 4: judged bad"),
        ("StorageError", 74, "judge: length 4: judged bad"),
        ("TryAgainError", 75, "judge: length 4: judged bad"),
        ("AccessError", 77, "judge: length 4: judged bad"),
        ("kill", 70, "judge: ended by SIGKILL; probably out of memory"),
    ],
)
def test_failing_step_gives_its_line_and_exit_code(pipeline, tmp_path, fault, code, message):
    with pytest.raises(StepFailedError) as failed:
        run(pipeline, [f"fault={fault}"], tmp_path / "runs", "bad")
    assert failed.value.exit_code == code
    assert str(failed.value).startswith(message)
    assert "judge.log" in str(failed.value)
    folder = tmp_path / "runs" / "bad"
    assert statuses(folder)["judge"] == "failed"
    if code != 70:  # kfp would try again, whatever the code
        assert (folder / "logs" / "judge.log").read_text().count("judged bad") == 1
    assert json.loads((folder / "run.json").read_text())["status"] == "failed"
    assert (folder / "outputs" / "count" / "counted").read_text() == "abab"


@pytest.mark.parametrize("text", ["python3 and python", 'it\'s "quoted" $HOME', "übung 🐈 a=b"])
def test_values_reach_the_step_as_they_are(pipeline, tmp_path, text):
    folder = run(pipeline, [f"text={text}", "times=1"], tmp_path / "with space", "run")
    assert (folder / "outputs" / "count" / "counted").read_text() == text


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["tims=3"], ConfigError, r"tims: unknown parameter \(did you mean times\?\)"),
        (["times=many"], ConfigError, "times: expected a whole number, got 'many'"),
        (["times"], UsageError, "'times': expected key=value"),
        (["times=1", "times=2"], UsageError, "times: given twice"),
        (["pods=[1]"], ConfigError, r"pods: expected JSON such as"),
        (["text={{$.x}}"], ConfigError, "text: .* looks like a placeholder"),
    ],
)
def test_wrong_arguments_leave_nothing_behind(pipeline, tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        run(pipeline, arguments, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_what_is_no_pipeline_is_named(tmp_path):
    with pytest.raises(UsageError, match="no such pipeline"):
        run(tmp_path / "missing.yaml", [], tmp_path / "runs")
    (tmp_path / "other.yaml").write_text("a: [1, 2]")
    with pytest.raises(UsageError, match=r"other\.yaml: not a compiled pipeline"):
        run(tmp_path / "other.yaml", [], tmp_path / "runs")


def test_a_run_is_never_overwritten(pipeline, tmp_path):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    with pytest.raises(UsageError, match="mine: exists already"):
        run(pipeline, [], tmp_path / "runs", "mine")


def test_paths_become_absolute_and_uris_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = '{"image": "a.png", "captions": ["a"], "split": "train"}\n'
    (tmp_path / "a.jsonl").write_text(line)
    (tmp_path / "b=c.jsonl").write_text(line)
    values = {"images": "s3://bucket/x", "store": "", "registry": "s3://bucket/r"}
    prepared = local.prepare({"dataset": "train=a.jsonl,b=c.jsonl", **values}, Path("runs"))
    assert prepared == {
        "dataset": f"train={tmp_path}/a.jsonl,{tmp_path}/b=c.jsonl",
        "images": "s3://bucket/x",
        "store": f"{tmp_path}/runs/store",
        "registry": "s3://bucket/r",
    }


def test_missing_or_unknown_dataset_is_bad_data(tmp_path):
    with pytest.raises(DataError, match=r"missing\.json"):
        local.prepare({"dataset": str(tmp_path / "missing.json")}, tmp_path)
    (tmp_path / "notes.md").write_text("hello")
    with pytest.raises(DataError, match=r"notes\.md: of no known format"):
        local.prepare({"dataset": str(tmp_path / "notes.md")}, tmp_path)


def test_a_terminal_shows_bars_and_none_of_kfps_chatter(pipeline, tmp_path):
    """Runs on a pseudo-terminal, where bars are drawn."""
    command = [sys.executable, "-m", "dico", "run", str(pipeline), "--runs", str(tmp_path / "runs")]
    settings = {"TERM": "xterm-256color", "COLUMNS": "100"}
    code = f"import os, pty; os.environ.update({settings!r}); pty.spawn({command!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", done.stdout)
    assert "━" in text
    assert "3/3 ✓ repeat" in text
    assert "INFO" not in text
    assert "Streamed logs" not in text


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_stopped_run_stops_its_step_and_says_how_to_go_on(pipeline, tmp_path, number, code):
    runs = tmp_path / "runs"
    options = ["--runs", str(runs), "--name", "run"]
    command = [sys.executable, "-m", "dico", "run", str(pipeline), "fault=sleep", *options]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # A job in the background of a shell ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    log = runs / "run" / "logs" / "judge.log"
    step = wait_for(lambda: re.search(r"process (\d+)", log.read_text()) if log.exists() else None)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == code, said
    assert said.count("\n") == 1
    assert "the same command continues the work" in said
    assert json.loads((runs / "run" / "run.json").read_text())["status"] == "interrupted"
    with pytest.raises(ProcessLookupError):
        os.kill(int(step.group(1)), 0)


def wait_for(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("did not happen in time")


def test_without_an_engine_containers_are_refused_before_anything_is_written(
    pipeline, tmp_path, monkeypatch
):
    pytest.importorskip("docker")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # docker leaves its socket open
        with pytest.raises(UsageError, match="no container engine answers"):
            run(pipeline, [], tmp_path / "runs", containers=True)
        gc.collect()
    assert not (tmp_path / "runs").exists()


def test_containers_see_the_folders_that_the_parameters_name(tmp_path):
    from dico_pipelines.local.containers import folders_of

    images = tmp_path / "images"
    images.mkdir()
    values = {
        "dataset": f"{tmp_path}/data/set.jsonl",
        "images": str(images),
        "store": str(tmp_path / "runs" / "store"),
        "registry": "/registry",
        "preset": "toy",
    }
    assert folders_of(values, tmp_path / "runs") == {
        f"{tmp_path}/runs": "rw",
        f"{tmp_path}/data": "ro",
        f"{tmp_path}/images": "ro",
        "/registry": "rw",
    }
