"""Names of plug-ins in a run's settings, checked where these are installed and before any work."""

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from dico.configuration.schema import check
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
        rewards = {name for _, name in parse_reward(config.finetune.reward)}
    except ConfigError as error:
        raise ConfigError(f"finetune.{error}") from None
    weights, folds = config.evaluator.weights, config.evaluator.reward_folds
    may_have_folds = folds or (weights and not weights.startswith("pip:"))  # made before, with them
    check(bool(may_have_folds) or "self-retrieval" not in rewards, "evaluator.reward_folds", folds,
          "must be at least 2 for finetune.reward=self-retrieval")  # fmt: skip
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
