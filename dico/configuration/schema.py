"""Frozen config dataclasses from plain dictionaries, with errors that name the field.

A config is a frozen dataclass beside the code that it configures. Its fields are bool, int, float,
str, tuples of these, optional values, or another config. Ranges are checked in ``__post_init__``.
"""

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from dico.errors import ConfigError

T = TypeVar("T")


def from_dict(cls: type[T], data: Mapping[str, Any], where: str) -> T:
    """Builds the config ``cls`` from ``data``.

    Args:
        cls: a frozen dataclass.
        data: field values; a missing field takes its default.
        where: what the settings are called in errors, such as ``xe``; empty at the top.

    Raises:
        ConfigError: unknown field, missing field, wrong type or value out of range.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: expected settings, got {_short(data)}")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    dotted = f"{where}." if where else ""
    for key in data:
        if key not in fields:
            raise ConfigError(f"{dotted}{key}: unknown setting{_suggest(str(key), list(fields))}")
    hints = typing.get_type_hints(cls)
    values = {key: _convert(value, hints[key], f"{dotted}{key}") for key, value in data.items()}
    try:
        return cls(**values)
    except TypeError:
        missing = [
            name
            for name, field in fields.items()
            if name not in data
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        ]
        raise ConfigError(f"{where}: missing setting {', '.join(missing)}") from None
    except ConfigError as error:
        raise ConfigError(f"{dotted}{error}") from None


def to_dict(config: Any) -> dict[str, Any]:
    """The config as plain JSON values, the inverse of `from_dict`."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return plain


def to_json(config: Any) -> str:
    """The config as canonical JSON: sorted keys, no spaces."""
    return json.dumps(dataclasses.asdict(config), sort_keys=True, separators=(",", ":"))


def from_json(cls: type[T], text: str, where: str) -> T:
    """Builds the config ``cls`` from JSON text; empty text means all defaults."""
    try:
        data = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not JSON: {error}") from None
    return from_dict(cls, data, where)


def check(condition: bool, field: str, value: object, constraint: str) -> None:
    """Raises ConfigError ``field: constraint, got value`` unless ``condition`` holds."""
    if not condition:
        raise ConfigError(f"{field}: {constraint}, got {_short(value)}")


def _short(value: object) -> str:
    """The value as one line of at most 80 characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, a deep list
        text = f"a very long {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _suggest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]}?)" if close else f"; known are {', '.join(sorted(known))}"


def _convert(value: Any, hint: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        return _convert(value, next(o for o in options if o is not type(None)), where)
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where}: expected a list, got {_short(value)}")
        item = typing.get_args(hint)[0]
        return tuple(_convert(v, item, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is typing.Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise ConfigError(
                f"{where}: expected one of {', '.join(map(str, choices))}, got {_short(value)}"
            )
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**1000 else math.inf
    if hint is float and isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}: expected a finite number, got {_short(value)}")
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{where}: expected {hint.__name__}, got {_short(value)}")
    return value
