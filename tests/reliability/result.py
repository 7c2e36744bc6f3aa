"""What a check of reliability reports: one row of the table in docs/reliability.md."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

CONTROL = "control: "
"""Starts the name of a negative control: it passes when, without the protection, things break."""


@dataclass(frozen=True, slots=True)
class Result:
    """One row."""

    id: str
    """The promise that is checked, such as A1."""
    name: str
    """What was tried, in a few words."""
    passed: int
    """Tries that went as promised."""
    total: int
    """All tries."""
    seconds: float
    """How long they took."""
    note: str = ""
    """What else is worth knowing, such as the worst time or why nothing was tried."""
    bar: float = 1.0
    """Share of the tries that must pass."""

    @property
    def good(self) -> bool:
        """Whether the bar is reached; where nothing was tried, the note has to say why."""
        return self.passed >= self.bar * self.total if self.total else bool(self.note)


timed = False
"""Whether bars of time count; the command sets it. A test must not fail because a machine is busy."""


def in_time(seconds: float, most: float) -> bool:
    """Whether a bar of time is reached, where such bars count."""
    return not timed or seconds < most


def count(
    promise: str, name: str, tries: Iterable[bool], note: str = "", bar: float = 1.0
) -> Result:
    """Runs through ``tries``, such as a generator that does the work, and counts those that pass."""
    begun = time.monotonic()
    outcomes = [bool(passed) for passed in tries]
    return Result(promise, name, sum(outcomes), len(outcomes), time.monotonic() - begun, note, bar)
