"""Presets and overrides: every setting of a run, as one config per section.

A preset is a TOML file under presets/ with one table per section; what it leaves out has the
section's defaults. Overrides are ``section.setting=value`` with TOML values; bare words are text.
"""

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dico.audit.config import AuditConfig
from dico.configuration.schema import check, from_dict
from dico.data.toy.config import ToyConfig
from dico.decoding import DecodingConfig
from dico.errors import ConfigError
from dico.evaluation.config import EvaluationConfig
from dico.evaluation.gate import GateConfig
from dico.features.config import FeaturesConfig
from dico.models.captioner_config import CaptionerSettings
from dico.presets.own_file import is_own_file, read_own_file
from dico.training.configs import (
    EvaluatorTrainingConfig,
    FinetuneConfig,
    JudgeConfig,
    XEConfig,
)
from dico.validation.config import ValidationConfig

PRESETS_FOLDER = Path(__file__).parent
_OVERRIDE = r'(?:[^\s"]|"[^"]*"?)+'


@dataclasses.dataclass(frozen=True)
class Config:
    """All settings of a run."""

    toy: ToyConfig = dataclasses.field(default_factory=ToyConfig)
    """The toy dataset, where no dataset is given."""
    validation: ValidationConfig = dataclasses.field(default_factory=ValidationConfig)
    """The dataset's checks."""
    evaluator: EvaluatorTrainingConfig = dataclasses.field(default_factory=EvaluatorTrainingConfig)
    """The evaluator and its training."""
    judge: JudgeConfig = dataclasses.field(default_factory=JudgeConfig)
    """The independent evaluator and its training."""
    audit: AuditConfig = dataclasses.field(default_factory=AuditConfig)
    """The audit of the evaluator."""
    features: FeaturesConfig = dataclasses.field(default_factory=FeaturesConfig)
    """Feature extraction."""
    captioner: CaptionerSettings = dataclasses.field(default_factory=CaptionerSettings)
    """Which captioner, and its sizes; what depends on tower and vocabulary is filled in later."""
    decoding: DecodingConfig = dataclasses.field(default_factory=DecodingConfig)
    """Beam search."""
    xe: XEConfig = dataclasses.field(default_factory=XEConfig)
    """Cross-entropy pre-training."""
    finetune: FinetuneConfig = dataclasses.field(default_factory=FinetuneConfig)
    """DiCO fine-tuning."""
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    """Metrics."""
    gate: GateConfig = dataclasses.field(default_factory=GateConfig)
    """Limits of the quality gate."""

    def __post_init__(self) -> None:
        """Checks what relates sections."""
        share = self.judge.judge_share
        same = not self.judge.enabled or share == self.evaluator.judge_share
        check(
            same, "judge.judge_share", share, "must be evaluator.judge_share: one split, two sides"
        )


def presets() -> list[str]:
    """Names of all presets, sorted."""
    return sorted(path.stem for path in PRESETS_FOLDER.glob("*.toml"))


def resolve(preset: str, overrides: str = "") -> Config:
    """The settings of ``preset`` with ``overrides`` applied.

    Args:
        preset: name of a preset, or a TOML file that extends one.
        overrides: ``section.setting=value`` separated by white space, such as
            ``xe.num_steps=200 finetune.beta=0.1``; a value with spaces is in double quotes.

    Raises:
        ConfigError: unknown preset, section or setting, wrong type or value out of range.
    """
    merged: dict[str, Any] = {}
    for source, settings in layers(preset, overrides):
        _merge(merged, settings, source)
    return from_dict(Config, merged, "")


def layers(preset: str, overrides: str = "") -> list[tuple[str, dict[str, Any]]]:
    """What the preset, the files that extend it and the overrides each set, later ones winning.

    Returns:
        The preset's or the file's name, or ``overrides``, and its tables.

    Raises:
        ConfigError: unknown preset, a file that is none, or overrides that are none.
    """
    base, own = read_own_file(preset) if is_own_file(preset) else (preset, [])
    if base not in presets():
        raise ConfigError(
            f"preset: {base!r} is unknown; presets are {', '.join(presets())}, or a file ./mine.toml"
        )
    shipped = tomllib.loads((PRESETS_FOLDER / f"{base}.toml").read_text(encoding="utf-8"))
    changed: dict[str, Any] = {}
    for override in re.findall(_OVERRIDE, overrides):
        path, value = _parse_override(override)
        _put(changed, path, value)
    return [(base, shipped), *own, ("overrides", changed)]


def _parse_override(text: str) -> tuple[list[str], Any]:
    name, equals, value = text.partition("=")
    path = name.split(".")
    if not (equals and len(path) > 1 and all(path)):
        raise ConfigError(f"overrides: expected section.setting=value, got {text!r}")
    try:
        return path, tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):  # not TOML, a number of thousands of digits, too deep
        return path, value


def _merge(into: dict[str, Any], settings: Mapping[str, Any], source: str, path: str = "") -> None:
    """Sets each value of ``settings``, table by table."""
    for name, value in settings.items():
        if not isinstance(value, Mapping):
            into[name] = value
            continue
        table = into.setdefault(name, {})
        if not isinstance(table, dict):
            below = next(iter(value), "")
            raise ConfigError(f"{source}: {path}{name}.{below}: {name} has no settings of its own")
        _merge(table, value, source, f"{path}{name}.")


def _put(settings: dict[str, Any], path: list[str], value: Any) -> None:
    """Sets ``settings[path[0]][path[1]]...``, making the tables on the way."""
    for name in path[:-1]:
        settings = settings.setdefault(name, {})
        if not isinstance(settings, dict):
            raise ConfigError(f"overrides: {'.'.join(path)}: {name} has no settings of its own")
    settings[path[-1]] = value
