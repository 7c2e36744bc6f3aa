"""Every setting of a run: its value, default, unit, range, where it was set and who reads it."""

import ast
import dataclasses
import functools
import inspect
import itertools
import textwrap
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from dico.configuration.ranges import range_of
from dico.plugins import Kind
from dico.presets.config import Config, layers, resolve
from dico.presets.own_file import unfold

READ_BY: Mapping[str, tuple[str, ...]] = {
    "toy": ("preflight",),
    "validation": ("validate_dataset",),
    "evaluator": ("prepare_weights", "train_evaluator"),
    "judge": ("prepare_weights", "train_judge"),
    "audit": ("audit_evaluator",),
    "features": ("extract_features",),
    "captioner": ("prepare_weights", "pretrain_captioner"),
    "decoding": (
        "pretrain_captioner", "finetune_captioner", "generate_captions", "evaluate_captions",
    ),
    "xe": ("pretrain_captioner",),
    "finetune": ("finetune_captioner",),
    "evaluation": ("evaluate_captions",),
    "gate": ("register_model",),
}  # fmt: skip
"""Steps of the training pipeline that are given a section."""
_UNITS = {
    "px": "pixels", "pixels": "pixels", "seconds": "s", "ms": "ms", "tokens": "tokens",
    "steps": "steps", "gigabytes": "GB", "bytes": "bytes", "chars": "characters",
}  # fmt: skip
_TYPES = {int: "whole number", float: "number", str: "text", bool: "true or false"}


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting of a run."""

    name: str
    """Section and setting, such as ``xe.num_steps``."""
    value: Any
    """What the run uses."""
    default: Any
    """What it would use without preset and overrides."""
    takes: str
    """Type, choices and range of the value."""
    unit: str
    """Unit of the value; empty where it has none."""
    source: str
    """``default``, the preset's or file's name, or ``overrides``."""
    read_by: tuple[str, ...]
    """Steps that are given it."""
    text: str
    """What it does."""


def list_settings(preset: str, overrides: str = "") -> list[Setting]:
    """Every setting of ``preset``, a name or a TOML file, with ``overrides`` applied.

    Raises:
        ConfigError: unknown preset or setting, wrong type or value out of range.
    """
    resolved = resolve(*unfold(preset, overrides))
    sources = {
        name: source for source, settings in layers(preset, overrides) for name in _names(settings)
    }
    return [
        Setting(
            name,
            value,
            default,
            describe_type(hint),
            _UNITS.get(name.rpartition("_")[2], ""),
            sources.get(name, "default"),
            READ_BY[name.partition(".")[0]],
            text,
        )
        for name, hint, value, default, text in _walk(Config, resolved, Config(), "")
    ]


def describe_type(hint: Any) -> str:
    """What a field takes, such as ``whole number, at least 1``."""
    kinds = [kind for kind in getattr(hint, "__metadata__", ()) if isinstance(kind, Kind)]
    if kinds:
        several = typing.get_origin(typing.get_args(hint)[0]) is tuple
        return f"{'list of ' if several else ''}{kinds[0]}"
    if typing.get_origin(hint) is typing.Annotated:
        return f"{describe_type(typing.get_args(hint)[0])}, {range_of(hint)}"
    if typing.get_origin(hint) is Literal:
        return " | ".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        return f"list of {describe_type(typing.get_args(hint)[0])}"
    options = [option for option in typing.get_args(hint) if option is not type(None)]
    if options:  # a value or nothing
        return " or ".join(map(describe_type, options))
    return _TYPES.get(hint, getattr(hint, "__name__", str(hint)))


@functools.cache
def field_texts(cls: type) -> Mapping[str, str]:
    """The docstring under each field of a config, its bases' included, as one line each."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
            texts |= _texts(typing.cast(ast.ClassDef, tree.body[0]).body)
    return texts


def _texts(body: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, below in itertools.pairwise(body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            yield field.target.id, " ".join(str(below.value.value).split())


def _walk(
    cls: type, value: Any, default: Any, path: str
) -> Iterator[tuple[str, Any, Any, Any, str]]:
    """Name, type, value, default and text of every setting below a config."""
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        name, own, usual = field.name, getattr(value, field.name), getattr(default, field.name)
        if dataclasses.is_dataclass(hints[name]):
            yield from _walk(hints[name], own, usual, f"{path}{name}.")
        else:
            text = field_texts(cls).get(name, "")
            yield f"{path}{name}", hints[name], own, usual, text


def _names(settings: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _names(value, f"{path}{name}.")
        else:
            yield f"{path}{name}"
