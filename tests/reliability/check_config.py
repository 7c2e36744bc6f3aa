"""D3: a wrong setting is refused at once, in one line that names it."""

import dataclasses
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dico.configuration.schema import from_json
from dico.errors import ConfigError
from dico.presets.config import Config, resolve
from tests.reliability.result import CONTROL, Result, count, in_time

IDS = ("D3",)
SECONDS = 1.0
ROOT = Path(__file__).resolve().parents[2]
WRONG: dict[type, tuple[Any, ...]] = {
    int: ("many", "5", 1.5, True, [1], {}, None, float("nan")),
    float: ("1e-5", "small", True, [0.1], {}, None, float("nan"), float("inf"), -float("inf")),
    bool: (1, 0, "yes", "true", [True], None),
    str: (3, 1.5, True, ["a"], {}, None),
    tuple: (3, "a", True, {}, None, ["a", {}]),
    dict: (3, "a", True, [1], None, {"unknown": 1}),
}
MUST_BE_POSITIVE = (
    "num_", "max_", "batch_size", "learning_rate", "_steps", "width", "_px", "patience",
    "micro_batch", "captions_per_image", "vocab_size", "dropout", "warmup",
)  # fmt: skip
LAYERS = 9
YAML_BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, LAYERS + 1)
)
NOT_JSON = {
    "alias bomb": YAML_BOMB,
    "depth bomb": "[" * 200_000,
    "deep objects": '{"a":' * 100_000,
    "long integer": '{"num_steps": ' + "9" * 100_000 + "}",
    "truncated": '{"num_steps": ',
    "YAML": "learning_rate: 1e-5",
    "a list": "[1, 2]",
    "a text": '"xe"',
    "a number": "3",
    "null": "null",
    "NaN": '{"learning_rate": NaN}',
    "Infinity": '{"learning_rate": Infinity}',
    "surrogate": '{"\\ud800": 1}',
    "a python dict": "{'num_steps': 3}",
    "an object tag": "!!python/object/apply:os.system ['true']",
}


def check(full: bool) -> list[Result]:
    """Every setting of every section with values of the wrong kind; texts that are no settings."""
    fields = list(_fields())
    rows = [
        count("D3", "unknown settings are refused", (_unknown(*field) for field in fields)),
        count("D3", "values of the wrong type are refused", _wrong_types(fields, full)),
        count("D3", "negative counts, sizes and rates are refused", _negative(fields)),
        count("D3", "malformed text, alias bombs and deep nesting are refused", _no_settings()),
        count("D3", "unknown presets and malformed overrides are refused", _overrides()),
        count("D3", "on the command line: exit 2 and one line", _commands(full)),
    ]
    name = f"{CONTROL}a plain dataclass accepts text for a number"
    taken = dataclasses.make_dataclass("Plain", [("learning_rate", float)])("1e-5")
    return [*rows, Result("D3", name, int(taken.learning_rate == "1e-5"), 1, 0.0)]


def _fields() -> Iterator[tuple[str, type, str, Any]]:
    """Section, its class, field and its type."""
    for section, cls in typing.get_type_hints(Config).items():
        for name, hint in typing.get_type_hints(cls).items():
            yield section, cls, name, hint


def _refused(section: str, cls: type, values: dict[str, Any], named: str) -> bool:
    return _one_line(lambda: from_json(cls, json.dumps(values), section), named)


def _one_line(read: Any, named: str) -> bool:
    """Whether it is refused in time by one line of bounded length that has the name."""
    begun = time.process_time()
    try:
        read()
    except ConfigError as error:
        text = str(error)
        quick = in_time(time.process_time() - begun, SECONDS)
        if quick and named in text and "\n" not in text and len(text) < 1000:
            return True
        print(f"D3: {named}: {text[:200]!r}, {time.process_time() - begun:.2f} s")
        return False
    except Exception as error:
        print(f"D3: {named}: {error!r}"[:300])
        return False
    print(f"D3: {named}: taken")
    return False


def _unknown(section: str, cls: type, name: str, _: Any) -> bool:
    return _refused(section, cls, {f"{name}_x": 1}, f"{section}.{name}_x: unknown setting")


def _wrong_types(fields: list[tuple[str, type, str, Any]], full: bool) -> Iterator[bool]:
    for section, cls, name, hint in fields:
        optional = isinstance(hint, types.UnionType)
        kind = _kind(hint)
        for value in WRONG[kind][: None if full else 3]:
            if value is None and optional:
                continue
            yield _refused(section, cls, {name: value}, f"{section}.{name}")


def _kind(hint: Any) -> type:
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if dataclasses.is_dataclass(hint):
        return dict
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return str
    return origin or hint


def _negative(fields: list[tuple[str, type, str, Any]]) -> Iterator[bool]:
    for section, cls, name, hint in fields:
        if _kind(hint) in (int, float) and any(part in name for part in MUST_BE_POSITIVE):
            yield _refused(section, cls, {name: -1}, name)


def _no_settings() -> Iterator[bool]:
    for section, cls in typing.get_type_hints(Config).items():
        for text in NOT_JSON.values():
            yield _one_line(functools.partial(from_json, cls, text, section), section)


def _overrides() -> Iterator[bool]:
    cases = {
        "xe": "overrides",
        "xe.num_steps": "overrides",
        "xe=3": "overrides",
        "=3": "overrides",
        "xe.num_steps=3 beta": "overrides",
        "xe.=3": "overrides",
        "xee.num_steps=3": "xee",
        'xe.learning_rate="1e-5"': "xe.learning_rate",
        "xe.learning_rate=1e-5x": "xe.learning_rate",
        "xe.learning_rate=-1e-5": "xe.learning_rate",
        "xe.learning_rate=1e400": "xe.learning_rate",
        "xe.num_steps=1e3": "xe.num_steps",
        "finetune.beta=0": "finetune.beta",
        "decoding.rule=5": "decoding.rule",
        "xe.num_steps=" + "9" * 100_000: "xe.num_steps",
        "xe.num_steps=" + "[" * 100_000: "xe.num_steps",
        "xe.num_steps=" + "{a=" * 50_000: "xe.num_steps",
        "xe.num_steps=*a0": "xe.num_steps",
    }
    for overrides, named in cases.items():
        yield _one_line(lambda overrides=overrides: resolve("toy", overrides), named)
    for preset in ("", "toi", "../presets/toy", "/etc/passwd", "toy\0", "toy.toml", YAML_BOMB):
        yield _one_line(lambda preset=preset: resolve(preset), "preset")


def _commands(full: bool) -> Iterator[bool]:
    """What a user sees; CPU seconds, which other work on the machine does not change."""
    with tempfile.TemporaryDirectory() as temporary:
        bomb = Path(temporary) / "bomb.yaml"
        bomb.write_text(YAML_BOMB)
        train = ["train", "xe", "--manifest", "a", "--features", "b", "--output", "c"]
        cases = [[[*train, "--overrides", 'xe.learning_rate="1e-5"'], "xe.learning_rate"]]
        if full:
            cases += [
                [[*train, "--overrides", "xe.lr=1e-5"], "xe.lr"],
                [[*train, "--preset", "toi"], "preset"],
                [[*train, "--seed", "-1"], "--seed"],
                [[*train, "--seed", "1e-5"], "--seed"],
                [["serve", "a", "--settings", "max_batch=-1"], "max_batch"],
                [["run", str(bomb)], "bomb.yaml"],
                [["run", "pipelines/dico.yaml", "seed=many"], "seed"],
                [["run", "pipelines/dico.yaml", "sead=1"], "sead"],
            ]
        for arguments, named in cases:
            yield _command(arguments, named)


def _command(arguments: list[str], named: str) -> bool:
    before = os.times()
    command = [sys.executable, "-m", "dico", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    after = os.times()
    seconds = after.children_user - before.children_user
    lines = done.stderr.strip().splitlines()
    one_line = len(lines) == 1 and named in lines[0]
    if done.returncode == 2 and one_line and in_time(seconds, SECONDS):
        return True
    print(f"D3: {arguments}: {done.returncode}, {seconds:.1f} s, {done.stderr[-300:]!r}")
    return False
