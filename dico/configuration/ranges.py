"""Ranges of settings, written into their types and checked when a config is made.

A field says what it takes by its type, so that `from_dict`, the constructor and ``dico settings``
all know it: ``num_steps: PositiveInt = 100``.
"""

import dataclasses
import functools
import math
import typing
from collections.abc import Iterator
from typing import Annotated, Any

from dico.configuration.schema import check


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """An interval of numbers; str() completes the sentence "must be ..."."""

    low: float = -math.inf
    """Least value."""
    high: float = math.inf
    """Greatest value."""
    above: bool = False
    """Whether ``low`` itself is excluded."""
    below: bool = False
    """Whether ``high`` itself is excluded."""

    def holds(self, value: float) -> bool:
        """Whether ``value`` is a number inside."""
        over = value > self.low if self.above else value >= self.low
        under = value < self.high if self.below else value <= self.high
        return over and under

    def __str__(self) -> str:
        if not (self.above or self.below) and -math.inf < self.low and self.high < math.inf:
            return f"from {self.low:g} to {self.high:g}"
        parts = []
        if self.low > -math.inf:
            parts.append(f"{'above' if self.above else 'at least'} {self.low:g}")
        if self.high < math.inf:
            parts.append(f"{'below' if self.below else 'at most'} {self.high:g}")
        return " and ".join(parts)


PositiveInt = Annotated[int, Range(low=1)]
NonNegativeInt = Annotated[int, Range(low=0)]
PositiveFloat = Annotated[float, Range(low=0, above=True)]
NonNegativeFloat = Annotated[float, Range(low=0)]
Fraction = Annotated[float, Range(low=0, high=1)]
FractionBelowOne = Annotated[float, Range(low=0, high=1, below=True)]


class Ranged:
    """Base of a config dataclass whose constructor checks every field's range.

    A subclass with a ``__post_init__`` of its own, for what relates two fields, calls this one first.
    """

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ConfigError: a value is out of its range.
        """
        kind: Any = type(self)  # a class is hashable, which its type does not say
        for name, bounds in _ranges(kind):
            for value in _numbers(getattr(self, name)):
                check(bounds.holds(value), name, value, f"must be {bounds}")


def range_of(hint: Any) -> Range | None:
    """The range in a type, or in the type of its items; None where there is none."""
    found = next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Range)), None)
    if found is not None:
        return found
    return next(filter(None, map(range_of, typing.get_args(hint))), None)


@functools.cache
def _ranges(cls: Any) -> tuple[tuple[str, Range], ...]:
    hints = typing.get_type_hints(cls, include_extras=True)
    names = (field.name for field in dataclasses.fields(cls))
    found = ((name, range_of(hints[name])) for name in names)
    return tuple((name, bounds) for name, bounds in found if bounds is not None)


def _numbers(value: Any) -> Iterator[float]:
    """The numbers in a setting: none, one, or one an item."""
    if isinstance(value, tuple):
        for item in value:
            yield from _numbers(item)
    elif value is not None:
        yield value
