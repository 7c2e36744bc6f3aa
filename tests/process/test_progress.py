"""Progress: what a log shows, and what a runner can read."""

import json

import pytest

from dico.process.progress import describe, format_seconds, progress


def test_line_says_count_rate_values_and_time_left():
    state = {
        "what": "pre-training",
        "done": 30,
        "before": 0,
        "total": 120,
        "unit": "step",
        "seconds": 10.0,
        "values": {"loss": 2.125},
    }
    assert describe(state) == "pre-training: 30/120 steps, 3 steps/s, 30.0 s left  loss 2.125"
    resumed = {**state, "done": 90, "before": 60}
    assert describe(resumed) == "pre-training: 90/120 steps, 3 steps/s, 10.0 s left  loss 2.125"


def test_line_without_total_has_no_time_left():
    state = {"what": "x", "done": 4, "before": 0, "total": None, "unit": "image"}
    state |= {"seconds": 2.0, "values": {}}
    assert describe(state) == "x: 4 images, 2 images/s"


def test_last_unit_is_always_logged(capsys):
    with progress("embedding", total=2, unit="image") as bar:
        bar.advance(1)
        bar.advance(1, loss=0.5)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("embedding: 2/2 images")
    assert lines[0].endswith("loss 0.5")


def test_work_done_before_is_shown_from_the_start(tmp_path, monkeypatch):
    path = tmp_path / "progress.json"
    monkeypatch.setenv("DICO_PROGRESS_FILE", str(path))
    with progress("evaluator", total=300, done=200) as bar:
        state = json.loads(path.read_text())
        assert describe({**state, "seconds": 0.0}) == "evaluator: 200/300 steps"
        bar.advance(100)
    state = json.loads(path.read_text())
    assert "100 steps/s" in describe({**state, "seconds": 1.0})


def test_state_file_holds_the_latest_state(tmp_path, monkeypatch):
    path = tmp_path / "progress.json"
    monkeypatch.setenv("DICO_PROGRESS_FILE", str(path))
    with progress("embedding", total=3, unit="image") as bar:
        assert json.loads(path.read_text())["done"] == 0
        bar.advance(3, loss=float("nan"), reward=1.5)
    state = json.loads(path.read_text())
    assert (state["what"], state["done"], state["total"]) == ("embedding", 3, 3)
    assert state["values"] == {"reward": 1.5}
    assert [file.name for file in tmp_path.iterdir()] == ["progress.json"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.21, "4.2 s"), (65, "1 min 05 s"), (7380, "2 h 03 min")]
)
def test_durations_read_as_people_say_them(seconds, text):
    assert format_seconds(seconds) == text
