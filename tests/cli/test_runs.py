"""dico runs and dico compare: what ran here, and methods side by side over their seeds."""

import io
import json
import sys
from statistics import fmean, stdev

import pytest

from dico.cli import main

CIDER = {("", 1): 1.80, ("", 2): 1.90, ("", 3): 2.00}
CIDER |= {("finetune.method=scst", seed): value for seed, value in ((1, 1.7), (2, 1.75), (3, 1.7))}


@pytest.fixture
def runs(tmp_path):
    """Three seeds of two methods, newest last."""
    for number, ((overrides, seed), cider) in enumerate(CIDER.items()):
        folder = tmp_path / "runs" / f"run-{number}"
        (folder / "evaluation").mkdir(parents=True)
        parameters = {"preset": "toy", "seed": seed, "overrides": overrides, "dataset": ""}
        content = {
            "pipeline": "dico",
            "parameters": parameters,
            "status": "done",
            "started": f"2026-11-30T12:0{number}:00+00:00",
            "seconds": 61.0,
        }
        (folder / "run.json").write_text(json.dumps(content))
        scores = {"dico": {"cider": cider, "bleu_4": 0.5}, "xe": {"cider": 1.5}}
        metrics = {"systems": scores, "intervals": {"dico": {"cider": [cider - 0.1, cider + 0.1]}}}
        (folder / "evaluation" / "metrics.json").write_text(json.dumps(metrics))
    return tmp_path / "runs"


def dico(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def test_runs_of_this_machine_need_no_cluster(runs, capsys, monkeypatch):
    monkeypatch.delenv("KFP_ENDPOINT", raising=False)
    code, out, _ = dico(capsys, "runs", "--runs", runs, "--num", "2")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert [line[0] for line in lines] == ["run", "run-5", "run-4"]
    assert lines[1][1:4] == ["done", "toy", "3"]
    assert lines[1][-1] == "finetune.method=scst"
    code, out, _ = dico(capsys, "runs", "--runs", runs / "none")
    assert (code, out.startswith("no runs in")) == (0, True)


def test_what_standard_output_cannot_encode_is_escaped(runs, capsys, monkeypatch):
    monkeypatch.delenv("KFP_ENDPOINT", raising=False)
    (runs / "run-0").rename(runs / "naïve")
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    code, _, err = dico(capsys, "runs", "naïve", "--runs", runs)
    assert (code, err) == (0, "")
    screen.flush()
    assert screen.buffer.getvalue().startswith(b"na\\xefve: done")


def test_waiting_is_for_a_run_of_a_cluster(runs, capsys, monkeypatch):
    monkeypatch.delenv("KFP_ENDPOINT", raising=False)
    _, _, err = dico(capsys, "runs", "--wait", "--runs", runs)
    assert err == "error: --wait: name the run to wait for\n"
    code, _, err = dico(capsys, "runs", "run-0", "--wait", "--runs", runs)
    assert code == 2
    assert "run-0 is a run of this machine, not of a cluster" in err


def test_a_run_of_this_machine_shows_its_steps_and_where_to_read_on(runs, capsys, monkeypatch):
    monkeypatch.setenv("KFP_ENDPOINT", "http://127.0.0.1:9")  # not asked
    folder = runs / "run-0"
    content = json.loads((folder / "run.json").read_text())
    content["status"] = "failed"
    content["steps"] = [
        {"step": "preflight", "status": "done", "seconds": 0.5},
        {"step": "train_evaluator", "status": "failed", "seconds": 60.0},
    ]
    (folder / "run.json").write_text(json.dumps(content))
    (folder / "logs").mkdir()
    (folder / "logs" / "train-evaluator.log").touch()
    code, out, _ = dico(capsys, "runs", "run-0", "--runs", runs)
    first, *steps, place = out.splitlines()
    assert (code, first) == (0, "run-0: failed, 1 min 01 s")
    assert [line.split()[:2] for line in steps] == [
        ["preflight", "done"],
        ["train_evaluator", "failed"],
    ]
    assert place.strip() == str(folder / "logs" / "train-evaluator.log")


def test_a_run_that_is_nowhere(runs, capsys, monkeypatch):
    monkeypatch.delenv("KFP_ENDPOINT", raising=False)
    code, out, err = dico(capsys, "runs", "run-9", "--runs", runs)
    assert (code, out) == (2, "")
    assert err == f"error: {runs / 'run-9'}: no such run; one of a cluster needs KFP_ENDPOINT\n"


def test_methods_over_seeds_with_students_interval(runs, capsys):
    code, out, _ = dico(capsys, "compare", *sorted(runs.iterdir()))
    assert code == 0
    heads, cider, bleu = out.splitlines()
    assert heads.split("  ")[-1] == "difference"
    assert heads.index("toy (3 seeds)") < heads.index("finetune.method=scst (3 seeds)")
    values = [1.8, 1.9, 2.0]
    half = 4.303 * stdev(values) / 3**0.5
    assert f"{fmean(values):.4f} [{fmean(values) - half:.4f}, {fmean(values) + half:.4f}]" in cider
    changes = [1.7 - 1.8, 1.75 - 1.9, 1.7 - 2.0]
    half = 4.303 * stdev(changes) / 3**0.5
    expected = f"{fmean(changes):.4f} [{fmean(changes) - half:.4f}, {fmean(changes) + half:.4f}]"
    assert cider.endswith(expected)
    assert bleu.split()[:4] == ["bleu_4", "0.5000", "[0.5000,", "0.5000]"]


def test_one_seed_has_its_own_bootstrap_interval(runs, capsys):
    _, out, _ = dico(capsys, "compare", runs / "run-0", "--metric", "cider")
    assert out.splitlines()[1].split() == ["cider", "1.8000", "[1.7000,", "1.9000]"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run-0", "nowhere"], 65, "nowhere: not the folder of a run"),
        (["run-0", "--system", "champion"], 2, "run-0: no scores of champion"),
        (["run-0", "--metric", "spice"], 2, "--metric: no spice; there are cider, bleu_4"),
        (["run-0", "run-0"], 65, "the same method and seed twice"),
    ],
)
def test_one_line_says_what_cannot_be_compared(runs, capsys, arguments, code, message):
    places = [
        str(runs / word) if word.startswith(("run-", "nowhere")) else word for word in arguments
    ]
    found, out, err = dico(capsys, "compare", *places)
    assert (found, out) == (code, "")
    assert message in err
    assert err.count("\n") == 1
