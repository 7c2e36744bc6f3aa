"""The parameters of a compiled pipeline as lines of help, without kfp."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dico_pipelines.local.specification import read_specification

_GROUPS, _REST = ("Data", "Settings", "Places", "Model", "Pods"), "Parameters"
_TYPES = {
    "STRING": "<str>",
    "NUMBER_INTEGER": "<int>",
    "NUMBER_DOUBLE": "<float>",
    "BOOLEAN": "<bool>",
}


def describe(pipeline: Path) -> dict[str, list[tuple[str, str]]]:
    """Rows of name and meaning under the groups that descriptions begin with, as "Data. Path ...".

    Raises:
        UsageError: the file is missing or is not a compiled pipeline.
    """
    groups: dict[str, list[tuple[str, str]]] = {group: [] for group in (*_GROUPS, _REST)}
    for name, parameter in read_specification(pipeline).parameters.items():
        whole = str(parameter.get("description", ""))
        group, _, meaning = whole.partition(". ")
        if group not in _GROUPS:
            group, meaning = _REST, whole
        kind = _TYPES.get(parameter["parameterType"], "<json>")
        groups[group].append((f"{name} {kind}", f"{meaning}  [{_default_of(parameter)}]".strip()))
    return {f"{group} (key=value)": rows for group, rows in groups.items() if rows}


def _default_of(parameter: Mapping[str, Any]) -> str:
    """What holds where the parameter is not given, as one would type it."""
    if "defaultValue" not in parameter:
        return "required"
    default = parameter["defaultValue"]
    if parameter["parameterType"] == "NUMBER_INTEGER":
        default = int(default)
    text = default if isinstance(default, str) else json.dumps(default)
    return f"default: {text or 'empty'}"
