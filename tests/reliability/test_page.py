"""The page of reliability: rows that were run again take the place of their own."""

from tests.reliability.__main__ import page, updated
from tests.reliability.result import Result


def row(promise, name, passed):
    return Result(promise, name, passed, 3, 0.5)


def test_rows_of_a_promise_are_replaced_where_they_stood():
    old = page([row("A1", "a", 3), row("B4", "b", 3), row("E1", "old", 3)], True, 60)
    new = updated(old, [row("B4", "again", 2), row("B4", "more", 3)])
    lines = [line for line in new.splitlines() if line.startswith(("| A1", "| B4", "| E1"))]
    assert lines == [
        "| A1 | a | 3 | 3 | 0.5 |  |",
        "| B4 | again | 2 | 3 | 0.5 | **missed**.  |",
        "| B4 | more | 3 | 3 | 0.5 |  |",
        "| E1 | old | 3 | 3 | 0.5 |  |",
    ]
    assert new.startswith(old[: old.index("| A1")])
