"""Configs from dictionaries: conversions, and errors that name the field."""

import dataclasses
from typing import Literal

import pytest

from dico.configuration.schema import check, from_dict, from_json, to_dict, to_json
from dico.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Inner:
    sizes: tuple[int, ...] = (1, 2)
    rate: float = 0.5

    def __post_init__(self):
        check(self.rate >= 0, "rate", self.rate, "must not be negative")


@dataclasses.dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = dataclasses.field(default_factory=Inner)
    kind: Literal["a", "b"] = "a"
    limit: int | None = None
    on: bool = False


def test_values_are_converted():
    data = {"name": "x", "inner": {"sizes": [3], "rate": 2}, "kind": "b", "limit": 4, "on": True}
    assert from_dict(Outer, data, "outer") == Outer("x", Inner((3,), 2.0), "b", 4, True)
    assert from_dict(Outer, {"name": "x", "limit": None}, "").limit is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "top: missing setting name"),
        ({"name": 3}, "top.name: expected str, got 3"),
        ({"name": None}, "top.name: expected str, got None"),
        ({"name": "x", "nam": 1}, r"top.nam: unknown setting \(did you mean name\?\)"),
        ({"name": "x", "zzz": 1}, "top.zzz: unknown setting; known are inner, kind, limit"),
        ({"name": "x", "inner": 3}, "top.inner: expected settings, got 3"),
        ({"name": "x", "inner": {"rate": -1}}, "top.inner.rate: must not be negative, got -1.0"),
        ({"name": "x", "inner": {"rate": "1e-5"}}, "top.inner.rate: expected float, got '1e-5'"),
        ({"name": "x", "inner": {"rate": 10**400}}, "top.inner.rate: expected a finite number"),
        ({"name": "x", "inner": {"sizes": [1, True]}}, r"top.inner.sizes\[1\]: expected int"),
        ({"name": "x", "kind": "c"}, "top.kind: expected one of a, b, got 'c'"),
        ({"name": "x", "kind": ["a"]}, "top.kind: expected one of a, b"),
        ({"name": "x", "on": 1}, "top.on: expected bool, got 1"),
        ({"name": "x", "limit": "4"}, "top.limit: expected int, got '4'"),
        ([], r"top: expected settings, got \[\]"),
    ],
)
def test_errors_name_the_field(data, message):
    with pytest.raises(ConfigError, match=f"^{message}") as wrong:
        from_dict(Outer, data, "top")
    assert "\n" not in str(wrong.value)


def test_long_values_are_cut():
    with pytest.raises(ConfigError) as wrong:
        from_dict(Outer, {"name": ["x"] * 1000}, "top")
    assert len(str(wrong.value)) < 150


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"limit": ' + "9" * 5000 + "}", "nul"])
def test_what_is_not_json_is_named(text):
    with pytest.raises(ConfigError, match=r"^top(\.|:)") as wrong:
        from_json(Outer, text, "top")
    assert len(str(wrong.value)) < 300


def test_json_is_canonical_and_comes_back():
    config = Outer("ü", Inner((3,), 2.0))
    text = to_json(config)
    assert text == to_json(from_json(Outer, text, "top"))
    assert from_json(Outer, text, "top") == config
    assert text.index('"inner"') < text.index('"kind"') < text.index('"name"')
    assert to_dict(config)["inner"] == {"sizes": [3], "rate": 2.0}


def test_empty_json_means_defaults():
    assert from_json(Inner, " ", "inner") == Inner()
