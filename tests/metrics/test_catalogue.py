"""One catalogue names every metric, says which way is better, and judges differences by it."""

import pytest

from dico.metrics.catalogue import CATALOGUE, metric_of, summary_of, verdict_of


@pytest.mark.parametrize(
    ("key", "label", "higher_is_better"),
    [
        ("pac_score", "PAC-S", True),
        ("bleu_1", "BLEU-1", True),
        ("recall_at_5", "R@5", True),
        ("rep_2", "Rep-2", False),
        ("rep_4_share", "Rep-4, share", False),
        ("wrong_shape", "Wrong shape", False),
        ("num_words", "Words", None),
        ("my_own", "My own", True),
    ],
)
def test_names_and_directions(key, label, higher_is_better):
    metric = metric_of(key)
    assert (metric.key, metric.label, metric.higher_is_better) == (key, label, higher_is_better)


def test_no_key_is_described_twice():
    assert len({metric.key for metric in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize(
    ("key", "low", "high", "verdict"),
    [
        ("cider", 0.01, 0.02, "better"),
        ("cider", -0.02, -0.01, "worse"),
        ("cider", -0.01, 0.02, "even"),
        ("wrong_size", 0.01, 0.02, "worse"),
        ("rep_2", -0.02, -0.01, "better"),
        ("num_words", 1.0, 2.0, "even"),
    ],
)
def test_verdicts(key, low, high, verdict):
    assert verdict_of(key, low, high) == verdict


def test_a_summary_keeps_the_catalogues_order_and_ends_with_the_errors():
    keys = {"num_words", "wrong_size", "cider", "bleu_1", "wrong_colour", "pac_score"}
    shown = [metric.key for metric in summary_of(keys)]
    assert shown == ["pac_score", "cider", "num_words", "wrong_colour", "wrong_size"]
