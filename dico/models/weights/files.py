"""Tensors out of a weights file; no code that the file carries is run.

Read are safetensors, torch's zip and legacy formats (``torch.load`` with ``weights_only``), and
TorchScript archives such as OpenAI's CLIP, whose pickle is walked with every class but tensors and
plain containers replaced by an inert one.
"""

import collections
import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from dico.errors import DataError
from dico.storage import sha256_file

Tensors = dict[str, Tensor]
_SHARDS = ("model.safetensors", "pytorch_model.bin")
_STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
}


def read_tensors(path: str | Path, sha256: str = "") -> Tensors:
    """Named tensors of a file, on the CPU, in their own dtype.

    Args:
        path: the file, or a folder with model.safetensors or pytorch_model.bin in it. A state dict
            may lie under ``state_dict`` or ``model``, its names may begin with ``module.``.
        sha256: digest that the file must have; not checked when empty.

    Raises:
        DataError: missing, of no known format, not the expected digest, or not only tensors.
    """
    path = _file(Path(path))
    if sha256 and (found := sha256_file(path)) != sha256:
        raise DataError(f"{path}: SHA-256 is {found}, expected {sha256}; fetch the file again")
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        elif _is_torchscript(path):
            content = _read_torchscript(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: no weights can be read from it: {reason}") from None
    except Exception as error:
        raise DataError(f"{path}: not a weights file: {type(error).__name__}: {error}") from None
    return _state_dict(content, path)


def _file(path: Path) -> Path:
    if path.is_dir():
        for name in _SHARDS:
            if (path / name).is_file():
                return path / name
        raise DataError(f"{path}: no weights in this folder; looked for {', '.join(_SHARDS)}")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    return path


def _state_dict(content: Any, path: Path) -> Tensors:
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds a {type(content).__name__}, not named tensors")
    tensors = {str(k).removeprefix("module."): v for k, v in content.items() if torch.is_tensor(v)}
    if not tensors:
        raise DataError(f"{path}: holds no tensors")
    return tensors


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


class _Inert:
    """Stands for any object of a TorchScript archive: keeps its state, does nothing."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _rebuild_tensor(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Tensor:
    return torch.as_strided(storage, size, stride, offset).clone()


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
        if module.startswith("__torch__") or module == "torch.jit._pickle":
            return _Inert
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a weights file")

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, _, num_values = pid
        data = bytearray(self._archive.read(f"{self._root}/data/{key}"))
        if len(data) < num_values * dtype.itemsize:
            raise ValueError(f"storage {key} is shorter than its {num_values} values")
        return torch.frombuffer(data, dtype=dtype, count=num_values)


def _read_torchscript(path: Path) -> Tensors:
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
        for name, value in node.state.items():
            _collect(value, f"{prefix}.{name}" if prefix else str(name), tensors)
    elif isinstance(node, Tensor):
        tensors[prefix] = node
