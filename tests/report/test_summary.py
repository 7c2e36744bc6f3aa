"""The table of metrics: who is in it, in what order, and what a difference means."""

import json

import pytest

from dico.errors import DataError
from dico.report import headline, read_metrics, tabulate


def make_metrics():
    return {
        "systems": {
            "dico": {"pac_score": 1.5, "rep_2": 0.4, "num_words": 10.9},
            "xe": {"pac_score": 1.2, "rep_2": 0.1, "num_words": 5.5},
            "human": {"pac_score": 1.4, "num_words": 9.0},
        },
        "intervals": {"dico": {"pac_score": [1.45, 1.55]}},
        "differences": {
            "dico - xe": {
                "pac_score": {"difference": 0.3, "low": 0.25, "high": 0.35},
                "rep_2": {"difference": 0.3, "low": 0.1, "high": 0.5},
                "num_words": {"difference": 5.4, "low": 5.0, "high": 5.8},
            }
        },
        "num_images": 50,
        "notes": ["METEOR not computed: no Java"],
    }


def test_columns_go_from_human_to_candidate_to_difference():
    assert tabulate(make_metrics()).columns == ("Human", "XE", "DiCO", "DiCO − XE")


def test_self_critical_training_goes_by_its_own_name():
    metrics = make_metrics() | {"settings": {"method": "scst"}}
    assert tabulate(metrics).columns == ("Human", "XE", "SCST", "SCST − XE")


def test_a_published_start_that_nothing_trained_is_called_so():
    metrics = make_metrics() | {"settings": {"start": "pretrained"}}
    assert tabulate(metrics).columns == ("Human", "Pretrained", "DiCO", "DiCO − Pretrained")


def test_cells_hold_score_interval_and_verdict():
    rows = {row.metric.key: row for row in tabulate(make_metrics()).rows}
    assert list(rows) == ["pac_score", "rep_2", "num_words"]
    assert [str(cell) for cell in rows["pac_score"].cells] == [
        "1.400",
        "1.200",
        "1.500 [1.450, 1.550]",
        "+0.300 [+0.250, +0.350]",
    ]
    assert rows["pac_score"].cells[-1].verdict == "better"
    assert rows["rep_2"].cells[-1].verdict == "worse"
    assert rows["rep_2"].cells[0].value == "–"
    assert rows["num_words"].cells[-1].verdict == "even"
    assert str(rows["num_words"].cells[1]) == "5.5"


def test_difference_within_chance_is_even():
    metrics = make_metrics()
    metrics["differences"]["dico - xe"]["pac_score"]["low"] = -0.01
    rows = {row.metric.key: row for row in tabulate(metrics).rows}
    assert rows["pac_score"].cells[-1].verdict == "even"


def test_notes_say_what_is_missing():
    notes = tabulate(make_metrics()).notes
    assert notes[0].startswith("50 test images")
    assert notes[-1] == "METEOR not computed: no Java"


@pytest.mark.parametrize(("finder", "score"), [("pac", "PAC-S"), ("clip", "CLIP-S")])
def test_retrieval_names_the_embeddings_that_found_the_images(finder, score):
    metrics = make_metrics()
    metrics["systems"]["dico"]["recall_at_1"] = 0.8
    metrics["settings"] = {"retrieval": finder, "w": {"clip": 2.5, "pac": 2.0}}
    assert f"R@1: images found by the embeddings behind {score}." in tabulate(metrics).notes


def test_headline_is_finite_and_written(tmp_path):
    metrics = make_metrics()
    metrics["systems"]["dico"]["cider"] = float("nan")
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    found = headline(tmp_path, tmp_path / "out.json")
    assert found == {"pac_score": 1.5, "rep_2": 0.4, "num_words": 10.9}
    assert json.loads((tmp_path / "out.json").read_text()) == found


@pytest.mark.parametrize("content", ["", "[]", '{"systems": 3}'])
def test_what_is_no_evaluation_is_refused(tmp_path, content):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(DataError, match=r"metrics\.json: not an evaluation's metrics"):
        read_metrics(tmp_path)
