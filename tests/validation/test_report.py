"""The report's bars: none for nothing, and a constant is one bar in the middle."""

import numpy as np

from dico.validation.report import _histogram, _split_bars


def test_a_split_of_no_images_has_no_bar() -> None:
    summary = {"split_counts": {"train": 6, "validation": 0, "test": 2},
               "numbers": {"num_set_aside": 0}}  # fmt: skip
    assert _split_bars(summary) == [("train", 6, 75.0, "train"), ("test", 2, 25.0, "test")]
    summary["numbers"]["num_set_aside"] = 2
    assert _split_bars(summary)[-1] == ("set aside", 2, 20.0, "aside")


def test_a_constant_is_one_bar_in_the_middle() -> None:
    for value in (5.0, 1.33):
        (bar,) = _histogram("x", np.full(9, value))["bars"]
        assert (bar["count"], bar["x"], bar["width"]) == (9, 110.5, 39.0)


def test_all_values_are_in_a_bar() -> None:
    values = np.random.default_rng(0).normal(10, 3, 500)
    assert sum(bar["count"] for bar in _histogram("x", values)["bars"]) == 500
