"""Charts: numbers land where they belong, and text cannot break out of the SVG."""

import math
import xml.etree.ElementTree as ElementTree

import pytest

from dico.report.charts import HEIGHT, LEFT, WIDTH, Chart, Series, smooth, ticks


def test_ticks_are_round_and_inside():
    assert ticks(0.0, 1.0) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert ticks(1.19, 1.47) == [1.2, 1.3, 1.4]
    assert ticks(-3, 7) == [-2.5, 0.0, 2.5, 5.0]
    assert ticks(2, 2) == [2]


def test_smooth_is_a_moving_mean():
    points = [(0.0, 0.0), (1.0, 3.0), (2.0, 6.0), (3.0, 0.0)]
    assert smooth(points, 3) == [(0.0, 1.5), (1.0, 3.0), (2.0, 3.0), (3.0, 3.0)]


def draw(points, style="validation", label="loss"):
    return ElementTree.fromstring(str(Chart(label, "", [Series(label, points, style)]).svg()))


def test_points_keep_their_order_and_stay_inside():
    svg = draw([(0, 1.0), (50, 3.0), (100, 2.0)])
    text = svg.find("polyline").get("points")
    places = [tuple(map(float, pair.split(","))) for pair in text.split()]
    xs = [x for x, _ in places[:3]]
    ys = [y for _, y in places[:3]]
    assert xs[0] == LEFT
    assert xs[1] == pytest.approx((xs[0] + xs[2]) / 2, abs=0.1)
    assert ys[1] < ys[2] < ys[0]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)


def test_non_finite_values_are_left_out():
    svg = draw([(0, 1.0), (1, math.nan), (2, math.inf), (3, 2.0)])
    assert len(svg.findall("circle")) == 2
    assert Chart("kl", "", [Series("kl", [(0, math.nan)])]).svg() == (
        '<p class="empty">not recorded</p>'
    )


def test_long_noisy_lines_are_thinned_and_smoothed():
    svg = draw([(step, step % 2) for step in range(5000)], style="dico")
    raw, line = svg.findall("polyline")
    assert raw.get("class") == "dico raw"
    assert len(line.get("points").split()) <= 420


def test_labels_are_escaped():
    svg = draw([(0, 1.0), (1, 2.0)], label='"><script>alert(1)</script>')
    assert svg.get("aria-label").startswith('"><script>')
    assert svg.find(".//script") is None


def test_last_value_is_shown():
    assert Chart("reward", "", [Series("reward", [(0, 1.0), (9, 1.2345)])]).last() == "1.23"
    assert Chart("reward", "", []).last() == "–"
