"""A preset of the user's own, made of what a compiled pipeline takes."""

from pathlib import Path
from typing import Any


def settle(values: dict[str, Any]) -> dict[str, Any]:
    """Parameters with settings that are checked, and that hold what a file of presets says.

    The model is named after the file, as it would be after a preset, unless it is named already.

    Raises:
        ConfigError: unknown preset or setting, wrong type or value out of range.
    """
    if "preset" not in values:
        return values
    from dico.presets.config import resolve
    from dico.presets.own_file import is_own_file, unfold

    preset, overrides = values["preset"], values.get("overrides", "")
    resolve(preset, overrides)
    if not is_own_file(preset):
        return values
    base, changes = unfold(preset, overrides)
    named = {} if values.get("model_name", "-") else {"model_name": Path(preset).stem}
    return values | {"preset": base, "overrides": changes} | named
