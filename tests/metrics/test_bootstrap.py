import numpy as np
import pytest

from dico.metrics import bleu, interval, paired_difference, resample_sums
from dico.metrics.bleu import bleu_from_sums, bleu_statistics
from dico.metrics.prepared import PreparedReferences


def test_sums_are_those_of_drawn_images():
    values = np.array([[1.0, 10], [2, 20], [4, 40]])
    sums = resample_sums(values, 500, seed=0)
    possible = {a + b + c for a in (1, 2, 4) for b in (1, 2, 4) for c in (1, 2, 4)}
    assert set(sums[:, 0]) == possible
    np.testing.assert_array_equal(sums[:, 1], 10 * sums[:, 0])
    assert sums[:, 0].mean() == pytest.approx(7, abs=0.3)


def test_interval_is_that_of_the_mean():
    values = np.random.default_rng(1).normal(size=(2000, 1))
    low, high = interval(resample_sums(values, 2000, seed=0)[:, 0] / 2000)
    error = values.std() / np.sqrt(2000)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_corpus_bleu_is_resampled_as_a_corpus():
    references = [["a dog runs on the beach"], ["two cats sleep"], ["a red bus in the street"]]
    captions = ["a dog runs on a beach", "two cats", "a red bus"]
    prepared = PreparedReferences(references)
    table = bleu_statistics(prepared.prepare(captions), prepared).table()
    drawn = [0, 2, 2]
    expected = bleu([captions[i] for i in drawn], [references[i] for i in drawn]).total
    np.testing.assert_allclose(bleu_from_sums(table[drawn].sum(axis=0)), expected)


def test_a_real_difference_is_found_and_chance_is_not():
    rng = np.random.default_rng(0)
    base = rng.normal(size=800)
    better, same = base + 0.1 + 0.1 * rng.normal(size=800), base + 0.5 * rng.normal(size=800)
    sums = resample_sums(np.column_stack([base, better, same]), 1000, seed=0) / 800
    found = paired_difference(better.mean(), base.mean(), sums[:, 1], sums[:, 0])
    assert found.low > 0
    assert found.p_value == pytest.approx(2 / 1001)
    chance = paired_difference(same.mean(), base.mean(), sums[:, 2], sums[:, 0])
    assert chance.low < 0 < chance.high
    assert chance.p_value > 0.05


def test_a_thousand_resamples_of_five_thousand_images():
    values = np.random.default_rng(0).random((5000, 60))
    sums = resample_sums(values, 1000, seed=0)
    assert sums.shape == (1000, 60)
    np.testing.assert_allclose(sums.mean(axis=0), values.sum(axis=0), rtol=0.005)
