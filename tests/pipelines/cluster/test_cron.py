"""Cron expressions of six fields: what is understood, what is refused, when they fire."""

from datetime import UTC, datetime

import pytest

from dico.errors import ConfigError
from dico_pipelines.cluster.cron import next_time

NOW = datetime(2026, 11, 23, 3, 4, 5, tzinfo=UTC)  # a Monday


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 3 * * 0", "2026-11-29 03:00:00"),
        ("0 0 3 * * SUN", "2026-11-29 03:00:00"),
        ("*/20 * * * * *", "2026-11-23 03:04:20"),
        ("30 10/20 * * * ?", "2026-11-23 03:10:30"),
        ("0 0 0 1 jan,jul *", "2027-01-01 00:00:00"),
        ("0 15 4-6/2 * * mon-fri", "2026-11-23 04:15:00"),
        ("0 0 0 29 2 *", "2028-02-29 00:00:00"),
        ("0 0 12 13 * 5", "2026-11-27 12:00:00"),  # the 13th, or a Friday
        ("0 0 12 13 * ?", "2026-12-13 12:00:00"),
        ("5 4 3 * * *", "2026-11-24 03:04:05"),  # later than now, not now
    ],
)
def test_the_next_time(expression, expected):
    assert f"{next_time(expression, NOW):%Y-%m-%d %H:%M:%S}" == expected


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 3 * * 0", "wants six, seconds first: '0 0 3 \\* \\* 0'"),
        ("", "has 0 fields"),
        ("60 0 3 * * 0", "out of range"),
        ("0 0 24 * * 0", "out of range"),
        ("0 0 3 0 * *", "out of range"),
        ("0 0 3 * 13 *", "out of range"),
        ("0 0 3 * * 7", "0 .Sunday. to 6"),
        ("0 0 3 * * sunday", "'sunday' in .* not understood"),
        ("0 0 3 * * sat-mon", "'sat-mon' in .* not understood"),
        ("0 0 5-3 * * *", "'5-3' in .* not understood"),
        ("0 */0 3 * * *", "step '0' .* not acceptable"),
        ("0 -1 3 * * *", "negative"),
        ("0 ٣ 3 * * *", "not understood"),
        ("0 0 0 31 2 *", "never happens"),
    ],
)
def test_refused(expression, words):
    with pytest.raises(ConfigError, match=words):
        next_time(expression, NOW)
