"""Refuses a captioner of transformers by its small files, before anything is fetched or loaded.

What is looked at: its type, what it is asked, how its captions end, the modules that get adapters,
and packages that its parts import. What files cannot tell is looked at when the model is opened.
"""

import difflib
import importlib.metadata
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dico.errors import ConfigError, DataError
from dico.models.captioner_config import HuggingFaceConfig
from dico.models.huggingface_files import ModelFiles, known_types, read_folder

PACKAGES = {"smolvlm": ("num2words", "vlm"), "timm_wrapper": ("timm", "photos")}
"""What parts of a type import beyond transformers, and the extra that has it."""
WITHOUT_PROMPT = ("blip", "git", "vision-encoder-decoder")
"""Types whose captions follow the image alone."""
PLACED_BY_PROCESSOR = frozenset(
    {"blip-2", "florence2", "instructblip", "kosmos-2", "kosmos-2.5", "paligemma", "pix2struct"}
)
"""Types whose processor puts the image's place before any text."""
_OF_IMAGES = ("image", "img", "vision", "boi")
_SPEAKING = ("text_config", "language_config", "llm_config", "decoder", "thinker_config")
_MIN_DIMENSIONS = 2


def check_folder(config: HuggingFaceConfig) -> None:
    """`check_files` of a folder; says nothing of one that is not here, as on another node.

    Raises:
        ConfigError: as by `check_files`.
        DataError: the folder has no config of a model, or no safetensors.
    """
    if (folder := Path(config.checkpoint)).is_dir():
        check_files(read_folder(folder), config)


def check_files(files: ModelFiles, config: HuggingFaceConfig) -> None:
    """Checks what would otherwise stop a run only when the captioner is opened.

    Raises:
        ConfigError: a type that captions no images; a prompt that it does not take; captions that
            would not end; adapters of modules that are not there; a package that is missing.
        DataError: the files are not a model's.
    """
    if not files.kind:
        raise DataError(f"{files.place}/config.json: names no model_type; give a saved model")
    read = (".safetensors",) if files.local else (".safetensors", ".bin")  # the Hub's are converted
    if not any(name.endswith(read) for name in files.names):
        raise DataError(
            f"{files.place}: no model.safetensors; weights in other formats are not read"
        )
    _check_type(files)
    _check_packages(files, config)
    _check_prompt(files, config)
    _check_ends(files)
    _check_targets(files, config)


def _check_type(files: ModelFiles) -> None:
    images, anything = known_types()
    data = files.data["config.json"]
    if not images or files.kind in images or (files.kind in anything and _sees(data)):
        return
    if data.get("auto_map"):
        raise ConfigError(
            f"captioner.checkpoint: {files.place} needs code of its repository, which is not run here"
        )
    close = difflib.get_close_matches(files.kind, images, n=1)
    hint = f"; the nearest type is {close[0]}" if close else ""
    raise ConfigError(
        f"captioner.checkpoint: {files.place} is {files.kind!r}, which captions no images: it is not "
        f"an image-text-to-text model of transformers {importlib.metadata.version('transformers')}"
        f"{hint}"
    )


def _sees(data: Any) -> bool:
    """Whether a config has a part for images."""
    if not isinstance(data, Mapping):
        return False
    return any("vision" in key for key in data) or any(_sees(part) for part in data.values())


def _check_packages(files: ModelFiles, config: HuggingFaceConfig) -> None:
    for kind in files.kinds_inside():
        package, extra = PACKAGES.get(kind, ("", ""))
        if package and importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"captioner.checkpoint: {kind} needs the package {package}; install "
                f"'dico-captioner[{extra}]'"
            )
    needed = {"peft": ("lora_rank: adapters need", "lora", config.lora_rank > 0)}
    needed["bitsandbytes"] = ("load_in_4bit: needs", "4bit", config.load_in_4bit)
    for package, (what, extra, wanted) in needed.items():
        if wanted and importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"captioner.{what} the package {package}; install 'dico-captioner[{extra}]'"
            )


def _check_prompt(files: ModelFiles, config: HuggingFaceConfig) -> None:
    """What it is asked: by its template, in words of the user's, or nothing."""
    if files.kind in WITHOUT_PROMPT:
        for name in ("prompt", "instruction"):
            if getattr(config, name):
                raise ConfigError(
                    f"captioner.{name}: captions of {files.kind} have none; leave it empty"
                )
        return
    if config.instruction and not files.has_template:
        raise ConfigError(
            f"captioner.instruction: {files.place} has no chat template; give captioner.prompt"
        )
    if files.kind in PLACED_BY_PROCESSOR or (files.has_template and not config.prompt):
        return
    places = [x for x in files.special_tokens().values() if any(w in x.lower() for w in _OF_IMAGES)]
    if places and not any(place in config.prompt for place in places):
        raise ConfigError(
            f"captioner.prompt: must hold the image's place once, such as {_place(files, places)}: "
            f"{config.prompt!r}"
        )


def _place(files: ModelFiles, places: list[str]) -> str:
    """How the image's place is spelt, as far as files tell."""
    data = files.data["config.json"]
    ids = [data.get(name) for name in ("image_token_id", "image_token_index")]
    named = [files.special_tokens().get(one) for one in ids if isinstance(one, int)]
    return next((one for one in named if one), places[0])


def _check_ends(files: ModelFiles) -> None:
    """Some id ends a caption, and each that does is a token of the tokenizer's."""
    if files.kind in WITHOUT_PROMPT:
        return
    ends = _end_ids(files)
    if not ends and _says_none(files):
        raise ConfigError(
            f"captioner.checkpoint: {files.place}: no eos_token_id in generation_config.json or "
            "config.json, so no caption would end; set it there"
        )
    words = files.data.get("tokenizer.json", {}).get("model", {}).get("vocab")
    special = files.special_tokens()
    for one in ends if words else ():
        if not 0 <= one < len(words) + len(special) and one not in special:
            raise ConfigError(
                f"captioner.checkpoint: {files.place}: eos_token_id {one} is no token of its "
                f"tokenizer, which has {len(words)} and {len(special)} special ones"
            )


def _end_ids(files: ModelFiles) -> list[int]:
    for data in _id_sources(files):
        value: Any = data.get("eos_token_id")
        found = [one for one in (value if isinstance(value, list) else [value]) if _is_id(one)]
        if found:
            return found
    return []


def _id_sources(files: ModelFiles) -> Iterator[Mapping[str, Any]]:
    """Where a model's ids may be written, the first of which counts."""
    yield files.data.get("generation_config.json", {})
    yield from _speaking_parts(files)
    yield files.data["config.json"]


def _speaking_parts(files: ModelFiles) -> list[Mapping[str, Any]]:
    parts = [files.data["config.json"].get(name) for name in _SPEAKING]
    return [part for part in parts if isinstance(part, Mapping)]


def _says_none(files: ModelFiles) -> bool:
    """Whether what speaks has no end on purpose; what is left out of a config has a default."""
    parts = _speaking_parts(files) or [files.data["config.json"]]
    return all("eos_token_id" in part for part in parts)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_targets(files: ModelFiles, config: HuggingFaceConfig) -> None:
    """Each name of adapted modules ends that of a matrix, as far as the headers were read."""
    if not (config.lora_rank and config.lora_targets and files.weights):
        return
    matrices = [
        name.rpartition(".")[0]
        for name, shape in files.weights.items()
        if name.endswith(".weight") and len(shape) >= _MIN_DIMENSIONS
    ]
    ends = sorted({name.rpartition(".")[2] for name in matrices})
    for target in config.lora_targets:
        if not any(name == target or name.endswith(f".{target}") for name in matrices):
            close = difflib.get_close_matches(target, ends, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise ConfigError(
                f"captioner.lora_targets: {files.kind} has no layer {target!r} to adapt{hint}; its "
                f"layers are {', '.join(ends)[:300]}"
            )
