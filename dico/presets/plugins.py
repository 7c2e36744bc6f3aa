"""Names of plug-ins in a run's settings, checked where these are installed and before any work."""

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from dico.errors import ConfigError
from dico.plugins import Kind
from dico.presets.config import Config
from dico.rewards.names import parse_reward


def check_plugins(config: Config) -> None:
    """Checks that every captioner, loss, reward and judge that is named is there.

    Raises:
        ConfigError: a name that neither dico nor an installed package has.
    """
    try:
        parse_reward(config.finetune.reward)
    except ConfigError as error:
        raise ConfigError(f"finetune.{error}") from None
    for setting, kind, names in _named(config, ""):
        for name in names:
            try:
                kind.check(name)
            except ConfigError as error:
                raise ConfigError(f"{setting}: {error}") from None


def _named(config: Any, path: str) -> Iterator[tuple[str, Kind, tuple[str, ...]]]:
    """The settings whose type says that their text names plug-ins: name, kind and value."""
    hints = typing.get_type_hints(type(config), include_extras=True)
    for field in dataclasses.fields(config):
        value, hint = getattr(config, field.name), hints[field.name]
        if dataclasses.is_dataclass(value):
            yield from _named(value, f"{path}{field.name}.")
        for kind in getattr(hint, "__metadata__", ()):
            if isinstance(kind, Kind):
                yield f"{path}{field.name}", kind, value if isinstance(value, tuple) else (value,)
