"""The parameters of a compiled pipeline, read and checked without kfp."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dico.errors import ConfigError, UsageError

LARGEST_INTEGER = 2**53
"""From here on not every whole number is a 64-bit float."""

_SHIPPED = Path(__file__).parents[1]
_TYPES = {
    "STRING": "text",
    "NUMBER_INTEGER": "a whole number",
    "NUMBER_DOUBLE": "a number",
    "BOOLEAN": "true or false",
    "STRUCT": 'JSON such as {"pool": "gpu"}',
    "LIST": 'JSON such as [{"key": "gpu", "operator": "Exists"}]',
}
_JSON_TYPES: dict[str, type] = {"BOOLEAN": bool, "STRUCT": dict, "LIST": list}


@dataclass(frozen=True, slots=True)
class Specification:
    """A compiled pipeline."""

    path: Path
    """Its YAML."""

    name: str
    """Its name."""

    parameters: Mapping[str, Mapping[str, Any]]
    """Name to ``parameterType``, ``defaultValue`` and ``description``."""

    def defaults(self) -> dict[str, Any]:
        """Values of the parameters that have a default."""
        given = {key: one.get("defaultValue") for key, one in self.parameters.items()}
        return {key: value for key, value in given.items() if value is not None}


def read_specification(path: Path) -> Specification:
    """Reads a compiled pipeline.

    Raises:
        UsageError: the file is missing or is not a compiled pipeline.
    """
    try:
        import yaml
    except ImportError:
        raise UsageError(
            "running pipelines needs kfp; install it: pip install 'dico-captioner[pipelines]'"
        ) from None
    path = find_pipeline(path)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        content = next(yaml.load_all(path.read_bytes(), Loader=loader))
        name = content["pipelineInfo"]["name"]
        parameters = content["root"].get("inputDefinitions", {}).get("parameters", {})
    except (yaml.YAMLError, StopIteration, KeyError, TypeError, AttributeError):
        raise UsageError(f"{path}: not a compiled pipeline; compile it by `make compile`") from None
    return Specification(path, name, parameters)


def find_pipeline(path: Path) -> Path:
    """The file itself, or the pipeline of that name that is installed with dico.

    Raises:
        UsageError: there is neither.
    """
    if path.is_file():
        return path
    shipped = _SHIPPED / path.name
    if path in (Path(path.name), Path("pipelines") / path.name) and shipped.is_file():
        return shipped
    names = ", ".join(sorted(found.name for found in _SHIPPED.glob("*.yaml")))
    raise UsageError(f"{path}: no such pipeline; installed are {names}")


def parse_arguments(specification: Specification, arguments: list[str]) -> dict[str, Any]:
    """Turns ``key=value`` texts into values for every parameter, defaults filled in.

    Raises:
        UsageError: an argument is not ``key=value`` or is given twice.
        ConfigError: an unknown key, a missing value or one of the wrong type.
    """
    known = specification.parameters
    values: dict[str, Any] = {}
    for argument in arguments:
        key, separator, text = argument.partition("=")
        if not separator:
            raise UsageError(f"{argument!r}: expected key=value, such as preset=toy")
        if key not in known:
            raise ConfigError(f"{key}: unknown parameter{_suggest(key, list(known))}")
        if key in values:
            raise UsageError(f"{key}: given twice")
        values[key] = _convert(key, text, known[key]["parameterType"])
    for key, parameter in known.items():
        if values.get(key, "") == "" and "defaultValue" not in parameter:
            raise ConfigError(f"{key}: this parameter has no default; give {key}=...")
        default = parameter.get("defaultValue")
        if parameter["parameterType"] == "NUMBER_INTEGER" and key not in values:
            default = int(default)
        values.setdefault(key, default)
    return {key: values[key] for key in known}


def _whole(key: str, value: int) -> int:
    """``value``, where Kubeflow, which keeps numbers as 64-bit floats, would not change it."""
    if abs(value) >= LARGEST_INTEGER:
        raise ConfigError(f"{key}: {value} is 2^53 or more, which Kubeflow would round")
    return value


def _suggest(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f" (did you mean {close[0]}?)" if close else f"; known are {', '.join(sorted(known))}"


def _convert(key: str, text: str, kind: str) -> Any:
    if "{{$" in text:
        raise ConfigError(f"{key}: {text!r} looks like a placeholder, which a run would replace")
    if kind == "STRING":
        return text
    try:
        if kind == "NUMBER_INTEGER":
            return _whole(key, int(text))
        if kind == "NUMBER_DOUBLE":
            return float(text)
        value = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, _JSON_TYPES.get(kind, object)) and value is not None:
        return value
    raise ConfigError(f"{key}: expected {_TYPES.get(kind, 'JSON')}, got {text!r}")
