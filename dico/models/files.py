"""A model's files: JSON with a format number, and weights as safetensors that must fit."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dico.errors import DataError, one_line
from dico.models.fit import require_fit


def settings_text(settings: Mapping[str, Any], format_number: int) -> str:
    """Settings as JSON, their format beside them."""
    return json.dumps({"format": format_number, **settings}, indent=1, sort_keys=True)


def parse_settings(text: str | bytes, where: str, what: str, format_number: int) -> dict[str, Any]:
    """The inverse of `settings_text`.

    Args:
        text: the file's content.
        where: the file's name, for errors.
        what: whose settings they are, with an article, for errors.
        format_number: the format that this version reads.

    Raises:
        DataError: no JSON object, or of another format.
    """
    try:
        settings = json.loads(text)
        found = settings.pop("format")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{where}: not the settings of {what}: {one_line(error)}") from None
    if found != format_number:
        raise DataError(f"{where}: {what} of format {found!r}; this version reads {format_number}")
    return dict(settings)


def read_settings(path: Path, what: str, format_number: int) -> dict[str, Any]:
    """As `parse_settings`, of a file.

    Raises:
        DataError: missing too.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        reason = "missing" if isinstance(error, FileNotFoundError) else error.strerror
        raise DataError(f"{path}: {reason}, so {path.parent} is not {what}") from None
    return parse_settings(text, str(path), what, format_number)


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Writes weights from any device; none shares its memory with another, as safetensors wants."""
    kept: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in weights.items():
        value = value.detach().cpu().contiguous()
        kept[name] = value.clone() if value.data_ptr() in seen else value
        seen.add(value.data_ptr())
    save_file(kept, path, {"format": "pt"})


def load_weights(
    model: torch.nn.Module, path: Path, renamed: Mapping[str, str] | None = None
) -> None:
    """Loads a safetensors file into ``model``, all names and shapes equal, all values finite.

    Args:
        model: of the shapes that the file has.
        path: the file.
        renamed: {name in an earlier release: today's}.

    Raises:
        DataError: missing, unreadable, or not this model's weights; the first of them is named.
    """
    tensors = {(renamed or {}).get(name, name): v for name, v in read_tensors(path).items()}
    require_fit(model.state_dict(), tensors, str(path))
    model.load_state_dict(tensors, strict=True)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        DataError: missing or unreadable.
    """
    try:
        return dict(load_file(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    except Exception as error:
        raise DataError(f"{path}: not a safetensors file: {one_line(error, 300)}") from None
