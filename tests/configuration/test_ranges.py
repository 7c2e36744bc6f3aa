"""Ranges in the types of settings: what they let through, and the sentence where they do not."""

import dataclasses
import math
from typing import Annotated

import pytest

from dico.configuration.ranges import (
    Fraction,
    FractionBelowOne,
    PositiveFloat,
    PositiveInt,
    Range,
    Ranged,
)
from dico.configuration.schema import check, from_dict
from dico.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Sizes(Ranged):
    layers: tuple[PositiveInt, ...] = (1, 2)
    share: Fraction = 0.5
    limit: PositiveInt | None = None


@dataclasses.dataclass(frozen=True)
class Rates(Sizes):
    rate: PositiveFloat = 0.1
    dropout: FractionBelowOne = 0.0
    places: Annotated[int, Range(low=3)] = 3
    free: int = -1

    def __post_init__(self):
        super().__post_init__()
        check(self.rate <= self.share, "rate", self.rate, "must not exceed share")


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "sentence"),
    [
        (Range(low=1), [1, 2, 10**30], [0, -1, math.nan], "at least 1"),
        (Range(low=0, above=True), [1e-300, math.inf], [0, -1, math.nan], "above 0"),
        (Range(0, 1), [0, 0.5, 1], [-0.1, 1.1, math.nan], "from 0 to 1"),
        (Range(0, 1, below=True), [0, 0.999], [1, -0.1], "at least 0 and below 1"),
        (Range(0, 1, above=True, below=True), [0.5], [0, 1], "above 0 and below 1"),
        (Range(high=7), [7, -7], [8], "at most 7"),
    ],
)
def test_a_range_holds_what_its_sentence_says(bounds, inside, outside, sentence):
    assert all(map(bounds.holds, inside))
    assert not any(map(bounds.holds, outside))
    assert str(bounds) == sentence


def test_defaults_and_values_inside_are_taken():
    assert Rates(layers=(), limit=1, rate=0.5).limit == 1
    assert from_dict(Rates, {"layers": [4], "dropout": 0.9}, "x").layers == (4,)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"layers": (1, 0)}, "layers: must be at least 1, got 0"),
        ({"share": 1.5}, "share: must be from 0 to 1, got 1.5"),
        ({"limit": 0}, "limit: must be at least 1, got 0"),
        ({"rate": 0.0}, "rate: must be above 0, got 0.0"),
        ({"rate": math.nan}, "rate: must be above 0, got nan"),
        ({"dropout": 1.0}, "dropout: must be at least 0 and below 1, got 1.0"),
        ({"places": 2}, "places: must be at least 3, got 2"),
        ({"rate": 0.7}, "rate: must not exceed share, got 0.7"),
    ],
)
def test_a_value_outside_is_named_by_the_constructor_and_from_a_dictionary(values, message):
    with pytest.raises(ConfigError) as wrong:
        Rates(**values)
    assert str(wrong.value) == message
    if "nan" not in message:
        with pytest.raises(ConfigError) as wrong:
            from_dict(Rates, values, "xe")
        assert str(wrong.value) == f"xe.{message}"
