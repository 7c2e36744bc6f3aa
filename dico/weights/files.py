"""Tensors out of a weights file; no code that the file carries is run.

Read are safetensors, torch's zip and legacy formats (``torch.load`` with ``weights_only``), and
TorchScript archives such as OpenAI's CLIP and models saved whole, whose pickle is walked with every
class but tensors and plain containers replaced by an inert one.
"""

import collections
import io
import json
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from dico.errors import DataError
from dico.storage import sha256_file

Tensors = dict[str, Tensor]
_FILES = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
)
_INDEX = ".index.json"
_NESTED = ("state_dict", "model_state_dict", "model", "module", "ema_state_dict")
"""Where trainers put a state dict beside epochs and optimisers."""
_PREFIXES = ("module.", "_orig_mod.", "model.", "clip_model.", "clip.", "net.")
"""What wrappers put before every name: DataParallel, torch.compile, Lightning and their users."""
_INERT = ("__torch__", "torch.jit._pickle", "torch.nn.", "transformers.", "open_clip.", "clip.")
"""Modules whose classes may stand in a file: they are replaced, never imported."""
_STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
}


def read_tensors(path: str | Path, sha256: str = "", unwrap: bool = True) -> Tensors:
    """Named tensors of a file, on the CPU, in their own dtype.

    Args:
        path: the file, or a folder with model.safetensors or another common name in it, whole or
            in shards. A state dict may lie under ``state_dict``, ``model_state_dict`` and the like,
            and its names may all begin with ``module.``, ``_orig_mod.`` or a Lightning module's
            field.
        sha256: digest that the file must have; not checked when empty.
        unwrap: whether such prefixes are taken off.

    Raises:
        DataError: missing, of no known format, not the expected digest, or not only tensors.
    """
    path = _file(Path(path))
    if path.name.endswith(_INDEX):
        return _shards(path, unwrap)
    if sha256 and (found := sha256_file(path)) != sha256:
        raise DataError(f"{path}: SHA-256 is {found}, expected {sha256}; fetch the file again")
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        elif _holds(path, "constants.pkl"):
            content = _read_whole(path)
        else:
            content = _load(path)
    except DataError:
        raise
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise DataError(f"{path}: no weights can be read from it: {_first(error)}") from None
    except Exception as error:
        raise DataError(f"{path}: not a weights file: {type(error).__name__}: {error}") from None
    tensors = _state_dict(content, path)
    return _unwrapped(tensors) if unwrap else tensors


def _load(path: Path) -> Any:
    """What torch loads without running code, or the weights of a model that was saved whole."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        if not _holds(path, "data.pkl"):
            raise
    try:
        return _read_whole(path)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path}: holds more than weights ({_first(error)}), and its code is not run; where you "
            "trust it: `import torch; torch.save(torch.load(FILE, weights_only=False).state_dict(), "
            "NEW)`"
        ) from None


def _first(error: BaseException) -> str:
    """An error's first sentence, without terminal codes and advice."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", " ".join(str(error).split()))
    return text if len(text) <= 200 else f"{text[:200].rsplit(' ', 1)[0]} ..."


def _shards(index: Path, unwrap: bool) -> Tensors:
    """All tensors of the files that an index lists."""
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{index}: not an index of weights: {error!r}") from None
    tensors: Tensors = {}
    for name in sorted(names):
        if Path(name).name != name:
            raise DataError(f"{index}: {name!r} points outside its folder")
        tensors |= read_tensors(index.parent / name, unwrap=unwrap)
    return tensors


def _file(path: Path) -> Path:
    if path.is_dir():
        for name in (*_FILES, *(f"{name}{_INDEX}" for name in _FILES)):
            if (path / name).is_file():
                return path / name
        raise DataError(f"{path}: no weights in this folder; looked for {', '.join(_FILES)}")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    return path


def _state_dict(content: Any, path: Path) -> Tensors:
    for key in _NESTED:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds a {type(content).__name__}, not named tensors")
    tensors = {str(name): value for name, value in content.items() if torch.is_tensor(value)}
    if not tensors:
        held = ", ".join(map(str, list(content)[:5]))
        raise DataError(f"{path}: holds no named tensors at its top, but {held or 'nothing'}")
    return tensors


def _unwrapped(tensors: Tensors) -> Tensors:
    """The names without what wrappers put before each of them; losses and others beside are left."""
    for prefix in _PREFIXES:
        inside = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        if len(inside) > len(tensors) / 2:
            return _unwrapped(inside)
    return tensors


def _holds(path: Path, name: str) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(entry.endswith(f"/{name}") for entry in archive.namelist())


class _Inert:
    """Stands for any object of a saved model: keeps its state, does nothing."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _rebuild_tensor(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Tensor:
    return torch.as_strided(storage, size, stride, offset).clone()


def _rebuild_parameter(data: Tensor, *_: Any) -> Tensor:
    return data


def _rebuild_from_type(rebuild: Any, _type: Any, arguments: tuple[Any, ...], _state: Any) -> Any:
    return rebuild(*arguments)


class _TensorUnpickler(pickle.Unpickler):
    """Builds tensors and containers; every other class becomes `_Inert`."""

    def __init__(self, data: bytes, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(data))
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _rebuild_parameter
        if (module, name) == ("torch._tensor", "_rebuild_from_type_v2"):
            return _rebuild_from_type
        if (module, name) in (("builtins", "set"), ("__builtin__", "set")):
            return set
        if f"{module}.".startswith(_INERT) or (module, name) == ("torch", "Tensor"):
            return _Inert
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a weights file")

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, _, num_values = pid
        data = bytearray(self._archive.read(f"{self._root}/data/{key}"))
        if len(data) < num_values * dtype.itemsize:
            raise ValueError(f"storage {key} is shorter than its {num_values} values")
        return torch.frombuffer(data, dtype=dtype, count=num_values)


def _read_whole(path: Path) -> Tensors:
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        root = pickles[0].removesuffix("/data.pkl")
        module = _TensorUnpickler(archive.read(pickles[0]), archive, root).load()
    tensors: Tensors = {}
    _collect(module, "", tensors)
    return tensors


def _collect(node: Any, prefix: str, tensors: Tensors) -> None:
    """Gathers the tensors of a tree of modules under their dotted names."""
    if isinstance(node, _Inert) and isinstance(node.state, dict):
        for name, value in _members(node.state):
            _collect(value, f"{prefix}.{name}" if prefix else str(name), tensors)
    elif isinstance(node, Tensor):
        tensors[prefix] = node


def _members(state: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a module holds: its fields in TorchScript, else its parameters, buffers and modules."""
    if "_modules" not in state:
        yield from state.items()
        return
    for kind in ("_parameters", "_buffers", "_modules"):
        yield from (state.get(kind) or {}).items()
