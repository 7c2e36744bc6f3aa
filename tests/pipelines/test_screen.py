"""What a local run shows, at the width of a terminal."""

import io

import pytest
from rich.console import Console

from dico.metrics.catalogue import metric_of
from dico.report.summary import Cell, MetricTable, Row
from dico_pipelines.local.screen import Screen

TABLE = MetricTable(
    columns=("XE", "DiCO", "DiCO − XE"),
    rows=(
        Row(
            metric_of("pac_score"),
            (
                Cell("1.190", "[1.150, 1.230]"),
                Cell("1.470", "[1.430, 1.510]"),
                Cell("+0.280", "[+0.240, +0.320]", "better"),
            ),
        ),
    ),
    notes=("50 test images",),
)


def show(width):
    output = io.StringIO()
    Screen(Console(file=output, width=width), 3).table(TABLE)
    return output.getvalue()


def test_wide_tables_have_all_intervals():
    (line,) = [line for line in show(120).splitlines() if "PAC-S" in line]
    assert line.split() == [
        "PAC-S",
        *("1.190", "[1.150,", "1.230]"),
        *("1.470", "[1.430,", "1.510]"),
        *("+0.280", "[+0.240,", "+0.320]"),
    ]


def test_narrow_tables_keep_the_interval_of_the_difference():
    (line,) = [line for line in show(72).splitlines() if "PAC-S" in line]
    assert line.split() == ["PAC-S", "1.190", "1.470", "+0.280", "[+0.240,", "+0.320]"]


@pytest.mark.parametrize("width", [60, 72, 200])
def test_nothing_is_cut_off(width):
    assert "…" not in show(width)


def test_steps_are_numbered_and_timed():
    output = io.StringIO()
    screen = Screen(Console(file=output, width=100), 16)
    with screen.step("train_evaluator"):
        pass
    screen.finished("train_evaluator", "done", 75.0)
    screen.finished("extract_features", "cached", 0.0)
    assert [line.split() for line in output.getvalue().splitlines()] == [
        ["1/16", "✓", "train_evaluator", "1", "min", "15", "s"],
        ["2/16", "·", "extract_features", "cached"],
    ]
