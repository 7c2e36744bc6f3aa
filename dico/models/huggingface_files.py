"""Reads a transformers model's small files before anything is loaded, in milliseconds.

Its configs, its tokenizer, its chat template and the headers of its safetensors; and which types the
installed transformers has, read from its source. Loads neither torch nor transformers.
"""

import ast
import importlib.util
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from dico.errors import DataError
from dico.storage.json_files import read_object

CONFIGS = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "processor_config.json",
)
"""Files of settings that are looked at, where they are there; a tokenizer's words are beside them."""
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
"""Where settings of the image processor are, the first that is there."""
_MAPPINGS = ("MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES", "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES")
_MOST_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class ModelFiles:
    """The small files of one model."""

    place: str
    """The folder or the repository, for messages."""
    names: frozenset[str]
    """All its files."""
    data: Mapping[str, dict[str, Any]]
    """Content of those of `CONFIGS` and of tokenizer.json that are there."""
    weights: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Shapes of its tensors; empty where the headers were not read."""
    local: bool = True
    """Whether they are the user's own, which are read as they are."""

    @property
    def kind(self) -> str:
        """Its model type; empty where it names none."""
        return str(self.data.get("config.json", {}).get("model_type") or "")

    @property
    def has_template(self) -> bool:
        """Whether its processor has a chat template."""
        named = {"chat_template.jinja", "chat_template.json"} & self.names
        return bool(named or self.data.get("processor_config.json", {}).get("chat_template"))

    def special_tokens(self) -> dict[int, str]:
        """Tokens of the tokenizer that stand beside its words, by id."""
        added = self.data.get("tokenizer.json", {}).get("added_tokens") or []
        found = {one["id"]: one["content"] for one in added}
        older = self.data.get("tokenizer_config.json", {}).get("added_tokens_decoder") or {}
        return {int(i): str(one["content"]) for i, one in older.items()} | found

    def kinds_inside(self) -> Iterator[str]:
        """Model types of the config and of every part of it."""
        yield from _values(self.data.get("config.json", {}), "model_type")


def read_folder(folder: Path) -> ModelFiles:
    """The files of a folder, and the names of its tensors.

    Raises:
        DataError: a file is not what its name says.
    """
    files = {path.name: path for path in folder.iterdir() if path.is_file()}
    looked_at = (*CONFIGS, "tokenizer.json")
    data = {
        name: read_object(files[name], "a model's settings") for name in looked_at if name in files
    }
    weights: dict[str, tuple[int, ...]] = {}
    for name in sorted(files):
        if name.endswith(".safetensors"):
            weights |= _header(files[name])
    return ModelFiles(str(folder), frozenset(files), data, weights)


@cache
def known_types() -> tuple[frozenset[str], frozenset[str]]:
    """Types that turn images into text, and those that take anything beside text, of transformers.

    Both are empty where transformers is not installed.
    """
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        return frozenset(), frozenset()
    path = Path(spec.origin).parent / "models" / "auto" / "modeling_auto.py"
    found: dict[str, frozenset[str]] = {}
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(statement, ast.Assign):
            continue
        (target,) = statement.targets
        if isinstance(target, ast.Name) and target.id in _MAPPINGS:
            pairs = [x for x in ast.walk(statement.value) if isinstance(x, ast.Tuple)]
            firsts = [pair.elts[0] for pair in pairs]
            found[target.id] = frozenset(
                str(one.value) for one in firsts if isinstance(one, ast.Constant)
            )
    images, anything = (found.get(name, frozenset()) for name in _MAPPINGS)
    return images, anything


def read_image_processor(folder: Path) -> dict[str, Any] | None:
    """The settings of the image processor in a model's folder; None where it has none.

    Raises:
        DataError: not such a file.
    """
    for path in (folder / name for name in PROCESSOR_FILES):
        if path.is_file():
            data = read_object(path, "an image processor's config")
            return dict(data.get("image_processor", data))
    return None


def _header(file: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors in a safetensors file, by its header alone."""
    try:
        with file.open("rb") as data:
            (size,) = struct.unpack("<Q", data.read(8))
            if size > _MOST_HEADER_BYTES:
                raise ValueError(f"a header of {size} bytes")
            header: dict[str, Any] = json.loads(data.read(size))
        return {name: tuple(x["shape"]) for name, x in header.items() if name != "__metadata__"}
    except (OSError, ValueError, TypeError, KeyError, struct.error, AttributeError) as error:
        raise DataError(f"{file}: not a safetensors file: {error}") from None


def _values(data: Any, key: str) -> Iterator[str]:
    if isinstance(data, dict):
        if isinstance(data.get(key), str):
            yield data[key]
        for part in data.values():
            yield from _values(part, key)
