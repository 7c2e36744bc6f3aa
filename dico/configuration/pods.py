"""What a run asks for its pods, checked: resources, nodes, tolerations.

Kubernetes refuses a pod that breaks one of these rules only when it is made, steps later, and
Kubeflow then makes it several times over.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dico.errors import ConfigError

CPU_REQUEST, MEMORY_REQUEST = "250m", "512Mi"
"""What every pod asks the scheduler for; its limits are what it may use."""

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|Ki|[MGT]i?)?")
_FACTORS = {
    "": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip
_TOLERATION = {"key", "operator", "value", "effect", "tolerationSeconds"}
_OPERATORS = ("", "Equal", "Exists")
_EFFECTS = ("", "NoSchedule", "PreferNoSchedule", "NoExecute")


def resources_of(
    gpu_type: str, gpus: int, num_nodes: int, cpu: str, memory: str
) -> dict[str, dict[str, str]]:
    """Limits and requests of a training pod, as Kubernetes writes them.

    Raises:
        ConfigError: one of them is no such number or quantity, or less than what pods request.
    """
    for name, number, least in (("gpus", gpus, 0), ("num_nodes", num_nodes, 1)):
        if number < least:
            raise ConfigError(f"{name}: must be at least {least}, got {number}")
    for name, limit, request in (("cpu", cpu, CPU_REQUEST), ("memory", memory, MEMORY_REQUEST)):
        if _number(name, limit) < _number(name, request):
            raise ConfigError(
                f"{name}: must be at least {request}, which pods request; got {limit}"
            )
    if gpus and not gpu_type:
        raise ConfigError("gpu_type: empty; give the resource's name, such as nvidia.com/gpu")
    return {
        "limits": {"cpu": cpu, "memory": memory} | ({gpu_type: str(gpus)} if gpus else {}),
        "requests": {"cpu": CPU_REQUEST, "memory": MEMORY_REQUEST},
    }


def check_nodes(node_selector: Mapping[str, Any], tolerations: Sequence[Any]) -> None:
    """Refuses what Kubernetes would not take, or would take for something else.

    Raises:
        ConfigError: a label that is no text, or a toleration with a wrong field or value.
    """
    for label, value in node_selector.items():
        if not isinstance(value, str):
            raise ConfigError(
                f'node_selector: {label}: expected a text such as "{value}" in quotes, got {value}'
            )
    for toleration in tolerations:
        if wrong := _fault(toleration):
            raise ConfigError(f"tolerations: {wrong} in {toleration}")


def _fault(toleration: Any) -> str:
    """What is wrong with a toleration; empty where it is one."""
    if not isinstance(toleration, Mapping):
        return "expected an object with key, operator, effect"
    if unknown := sorted(toleration.keys() - _TOLERATION):
        return f"unknown field {unknown[0]}; known are {', '.join(sorted(_TOLERATION))}"
    operator, effect = toleration.get("operator", ""), toleration.get("effect", "")
    if operator not in _OPERATORS:
        return f"operator must be Equal or Exists, got {operator!r}"
    if effect not in _EFFECTS:
        return f"effect must be one of {', '.join(_EFFECTS[1:])}, got {effect!r}"
    if not toleration.get("key") and operator != "Exists":
        return "without a key operator must be Exists"
    return "Exists takes no value" if operator == "Exists" and toleration.get("value") else ""


def _number(name: str, quantity: str) -> float:
    match = _QUANTITY.fullmatch(quantity)
    if not match:
        raise ConfigError(f"{name}: expected a quantity such as 4 or 16Gi, got {quantity!r}")
    return float(match[1]) * _FACTORS[match[2] or ""]
