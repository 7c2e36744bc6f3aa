"""What a transformers model's folder tells before anything is loaded: in milliseconds, by its files.

Looks at config.json, generation_config.json and the headers of safetensors files. Loads neither
torch nor transformers, and says nothing of a folder that is not here, as on a cluster's other nodes.
"""

import importlib.util
import json
import struct
from pathlib import Path
from typing import Any

from dico.errors import ConfigError, DataError
from dico.models.captioner_config import HuggingFaceConfig

PACKAGES = {"smolvlm": "num2words"}
"""What the processor of a type imports beyond transformers."""
_MOST_HEADER_BYTES = 100_000_000


def check_files(config: HuggingFaceConfig) -> None:
    """Checks what would otherwise stop a run only when the captioner is opened.

    Raises:
        ConfigError: adapters are asked for modules that are not there, or a package is missing.
        DataError: the folder has no config of a model, or no safetensors.
    """
    folder = Path(config.checkpoint)
    if not folder.is_dir():
        return
    kind = _read(folder / "config.json").get("model_type")
    if not isinstance(kind, str):
        raise DataError(f"{folder / 'config.json'}: names no model_type; give a saved model")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise DataError(f"{folder}: no model.safetensors; weights in other formats are not read")
    package = PACKAGES.get(kind)
    if package and importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"captioner.checkpoint: the processor of {kind} needs the package {package}; install "
            "'dico-captioner[vlm]'"
        )
    _check_targets(config, [name for file in files for name in _weights(file)])


def _check_targets(config: HuggingFaceConfig, weights: list[str]) -> None:
    modules = {name.rpartition(".")[0] for name in weights}
    for target in config.lora_targets if config.lora_rank else ():
        if not any(name == target or name.endswith(f".{target}") for name in modules):
            ends = sorted({name.rpartition(".")[2] for name in modules})
            raise ConfigError(
                f"captioner.lora_targets: no module ends in {target!r}; they end in "
                f"{', '.join(ends)[:200]}"
            )


def _weights(file: Path) -> list[str]:
    """Names of the tensors in a safetensors file, by its header alone."""
    try:
        with file.open("rb") as data:
            (size,) = struct.unpack("<Q", data.read(8))
            if size > _MOST_HEADER_BYTES:
                raise ValueError(f"a header of {size} bytes")
            header: dict[str, Any] = json.loads(data.read(size))
        return [name for name in header if name != "__metadata__"]
    except (OSError, ValueError, struct.error, AttributeError) as error:
        raise DataError(f"{file}: not a safetensors file: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: not a model's config: {error}") from None
