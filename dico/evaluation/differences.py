"""What an evaluation says of two systems: a metric's value, and its difference with an interval."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dico.errors import DataError


@dataclass(frozen=True, slots=True)
class Difference:
    """One system minus another in one metric, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Reads ``+0.12 [+0.08, +0.15]``."""
        return f"{self.value:+.3g} [{self.low:+.3g}, {self.high:+.3g}]"


def value_of(metrics: Mapping[str, Any], system: str, key: str) -> float:
    """A system's score.

    Raises:
        DataError: it is not there, or no number.
    """
    return _finite(metrics["systems"].get(system, {}).get(key), f"{key} of {system}")


def difference_of(metrics: Mapping[str, Any], one: str, other: str, key: str) -> Difference:
    """``one`` minus ``other``.

    Raises:
        DataError: it is not there, or no number.
    """
    found = metrics["differences"].get(f"{one} - {other}", {}).get(key)
    if found is None:
        raise DataError(
            f"metrics.json: no difference '{one} - {other}' in {key}; evaluate both systems"
        )
    value, low, high = (
        _finite(found[part], f"{part} of {one} - {other} in {key}")
        for part in ("difference", "low", "high")
    )
    return Difference(value, low, high)


def _finite(value: Any, what: str) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"metrics.json: {what} is {value!r}, not a number to decide on")
    return float(value)
