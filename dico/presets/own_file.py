"""Presets of a user's own: a TOML file that extends a shipped preset or another file.

A file is read where the command is typed and travels as overrides of the preset that it extends:
steps in pods never look for it, and the cache's keys and the lineage hold what it said.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dico.errors import ConfigError

_MOST_FILES = 16
_NOT_PLAIN = re.compile(r'[\s"\\]')


def is_own_file(preset: str) -> bool:
    """Whether ``preset`` names a file rather than a shipped preset."""
    return preset.endswith(".toml")


def read_own_file(preset: str) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    """The shipped preset that a file extends, and what it and the files between change.

    Returns:
        The preset's name, and the tables of each file with its name, the outermost last.

    Raises:
        ConfigError: a file is missing, is not TOML, extends nothing or extends itself.
    """
    layers: list[tuple[str, dict[str, Any]]] = []
    place = Path(preset)
    while len(layers) < _MOST_FILES:
        settings = _read(place)
        base = settings.pop("extends", None)
        if not isinstance(base, str) or not base:
            raise ConfigError(f'{place}: names no preset; its first line is extends = "photos"')
        layers.insert(0, (place.name, settings))
        if not is_own_file(base):
            return base, layers
        place = place.parent / base
    raise ConfigError(f"{preset}: extends more than {_MOST_FILES} files, or itself")


def unfold(preset: str, overrides: str) -> tuple[str, str]:
    """A shipped preset and overrides that mean the same as ``preset`` with ``overrides``.

    A preset's name stays as it is.

    Raises:
        ConfigError: see `read_own_file`.
    """
    if not is_own_file(preset):
        return preset, overrides
    base, layers = read_own_file(preset)
    changes = [change for _, settings in layers for change in _flatten(settings)]
    return base, " ".join([*changes, overrides]).strip()


def write_value(value: Any) -> str:
    """A setting's value in TOML."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(write_value, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"preset: {path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"preset: {path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # not TOML, or not UTF-8
        raise ConfigError(f"preset: {path}: not TOML: {error}") from None


def _flatten(settings: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Each setting as ``section.setting=value`` without white space."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{path}{name}.")
        else:
            yield f"{path}{name}={_without_spaces(value)}"


def _without_spaces(value: Any) -> str:
    """TOML without spaces or inner quotes, which overrides are split at."""
    if isinstance(value, list):
        return f"[{','.join(map(_without_spaces, value))}]"
    if isinstance(value, str):
        escaped = _NOT_PLAIN.sub(lambda found: f"\\u{ord(found[0]):04X}", value)
        return f'"{escaped}"'
    return str(value).lower() if isinstance(value, bool) else str(value)
