"""Quick fuzzing of the parsers; ``python -m tests.reliability.fuzz`` goes on for as long as asked."""

import pytest

from tests.reliability.fuzz import by_hypothesis, changed
from tests.reliability.fuzz_targets import TARGETS, politely, seeds


@pytest.mark.parametrize("name", TARGETS)
def test_good_inputs_are_taken(name):
    assert all(politely(name, data) for data in seeds(name))


@pytest.mark.parametrize("name", TARGETS)
def test_changed_inputs_are_taken_or_refused(name):
    assert by_hypothesis(name, max_examples=40)


def test_a_defect_comes_through(monkeypatch):
    """Negative control: a parser that raises something of its own."""

    def broken(data):
        if data.startswith(b"{"):
            raise KeyError("x")

    monkeypatch.setitem(TARGETS, "digests", broken)
    with pytest.raises(KeyError):
        by_hypothesis("digests", max_examples=40)


def test_changes_are_where_they_should_be():
    assert changed(b"abcdef", [(1, 2, b"XYZ")]) == b"aXYZdef"
    assert changed(b"", [(5, 3, b"Q")]) == b"Q"
