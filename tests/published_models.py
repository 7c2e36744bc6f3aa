"""Plain data against the model classes that KFP and Kubernetes publish for Python, strictly.

Both are generated from the published OpenAPI: each class names its fields and their types. A field
that is not named there is a mistake, where a server would drop it without a word.
"""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object}


def mistakes(value: Any, kind: str, models: ModuleType, where: str = "body") -> Iterator[str]:
    """How ``value`` departs from the published type ``kind``."""
    kind = "str" if kind == "datetime" else kind
    if kind in PLAIN:
        if not isinstance(value, PLAIN[kind]) or (kind == "int" and isinstance(value, bool)):
            yield f"{where}: {value!r} is no {kind}"
    elif kind.startswith("list["):
        for index, item in enumerate(value):
            yield from mistakes(item, kind[5:-1], models, f"{where}[{index}]")
    elif kind.startswith("dict("):
        for key, item in value.items():
            yield from mistakes(item, kind[5:-1].split(", ")[1], models, f"{where}.{key}")
    else:
        yield from _of_model(value, getattr(models, kind), models, where)


def _of_model(value: Any, model: Any, models: ModuleType, where: str) -> Iterator[str]:
    if hasattr(model, "allowable_values") or not model.openapi_types:
        if value not in getattr(model, "allowable_values", [value]):
            yield f"{where}: {value!r} is none of {model.allowable_values}"
        return
    names = {json_name: name for name, json_name in model.attribute_map.items()}
    for key, item in value.items():
        if key not in names:
            yield f"{where}.{key}: unknown field"
        else:
            yield from mistakes(item, model.openapi_types[names[key]], models, f"{where}.{key}")
