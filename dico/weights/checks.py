"""Checks of weights before they are fetched: their kind, prompt and adapted modules."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dico.errors import ConfigError
from dico.models.captioner_config import CaptionerSettings
from dico.models.huggingface_checks import check_files
from dico.models.huggingface_files import CONFIGS, ModelFiles, read_folder
from dico.weights import hub
from dico.weights.keeping import Resolved

_ENCODER_FILES = ("open_clip_config.json", "config.json")


def check_encoder(resolved: Resolved) -> None:
    """Refuses a repository or folder that cannot be an encoder, by its config alone.

    Raises:
        ConfigError: it is something else, such as a captioner.
    """
    if resolved.architecture or resolved.name.kind == "published":
        return
    configs = _configs(resolved, _ENCODER_FILES)
    if configs is None or "open_clip_config.json" in configs:
        return
    data = configs.get("config.json")
    if data is None:
        raise ConfigError(
            f"{resolved.setting}: {resolved.name.text} has neither open_clip_config.json nor "
            "config.json, so nothing tells what it is"
        )
    if "architecture" in data or "library" in str(data.get("clip", "")) or "format" in data:
        return
    _require_known_code(data, resolved)
    kind = str(data.get("model_type"))
    made = [str(name) for name in data.get("architectures") or []]
    writes = any(name.endswith(("ForConditionalGeneration", "ForCausalLM")) for name in made)
    if resolved.setting.endswith("weights") and (writes or not _is_dual_encoder(kind)):
        raise ConfigError(
            f"{resolved.setting}: {resolved.name.text} is {kind!r}, which embeds no texts beside "
            "images; an evaluator is a dual encoder such as clip or siglip"
        )


def check_captioner(resolved: Resolved, settings: CaptionerSettings) -> None:
    """Refuses what `dico.models.huggingface_checks` refuses of a repository or folder.

    Raises:
        ConfigError: it is no captioner, or not what the settings say.
        DataError: its files are not a model's.
    """
    files = _captioner_files(resolved, bool(settings.lora_rank and settings.lora_targets))
    if files is None:
        return
    if "config.json" not in files.data:
        raise ConfigError(
            f"{resolved.setting}: {resolved.name.text} has no config.json of transformers"
        )
    check_files(files, settings.huggingface())


def _captioner_files(resolved: Resolved, shapes: bool) -> ModelFiles | None:
    """The small files, and of a repository the headers of its weights if asked for."""
    folder = Path(resolved.name.place)
    if resolved.found is None:
        local = resolved.name.kind == "local" and folder.is_dir()
        return read_folder(folder) if local else None
    names = frozenset(path for path in resolved.found.paths if "/" not in path)
    configs = _configs(resolved, CONFIGS) or {}
    if "added_tokens_decoder" not in configs.get("tokenizer_config.json", {}):
        configs |= _configs(resolved, ("tokenizer.json",)) or {}  # it may be large
    weights = hub.tensor_shapes(resolved.found, resolved.setting) if shapes else {}
    return ModelFiles(resolved.name.text, names, configs, weights, local=False)


def _require_known_code(data: Mapping[str, Any], resolved: Resolved) -> None:
    if data.get("auto_map") and not _knows(str(data.get("model_type"))):
        raise ConfigError(
            f"{resolved.setting}: {resolved.name.text} needs code of its repository, which is not "
            "run here"
        )


def _knows(kind: str) -> bool:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return kind in CONFIG_MAPPING_NAMES


def _is_dual_encoder(kind: str) -> bool:
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    from dico.models.torchvision_compat import ensure_torchvision_imports

    ensure_torchvision_imports()
    name = MODEL_MAPPING_NAMES.get(kind)
    if not isinstance(name, str):
        return False
    made = getattr(transformers, name)
    return hasattr(made, "get_text_features") and hasattr(made, "get_image_features")


def _configs(resolved: Resolved, names: tuple[str, ...]) -> dict[str, dict[str, Any]] | None:
    """The config files that are there; None for what has none: a file, a bucket, kept weights."""
    if resolved.found is not None:
        paths = [name for name in names if name in resolved.found.paths]
        with tempfile.TemporaryDirectory(prefix="weights-") as working:
            hub.fetch(resolved.found, paths, Path(working), resolved.setting)
            return {name: _read(Path(working) / name) for name in paths}
    folder = Path(resolved.name.place)
    if resolved.name.kind != "local" or not folder.is_dir():
        return None
    return {name: _read(folder / name) for name in names if (folder / name).is_file()}


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path.name}: not a config: {error}") from None
