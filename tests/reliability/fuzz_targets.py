"""The parsers of what strangers bring, each as a function of bytes that returns or refuses politely.

A target writes the bytes where the parser looks, and lets through nothing but a `DicoError` or the
parser's own finding. Any other exception is a defect.
"""

import contextlib
import io
import json
import tarfile
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from dico.configuration.schema import from_json
from dico.data.formats import detect, read_entries
from dico.data.manifest import Record, read_manifest, write_manifest
from dico.data.strict_json import JsonFinding, Parser
from dico.errors import DicoError
from dico.images.errors import ImageError
from dico.images.load import load_image_bytes
from dico.images.tar_index import TarError, iter_members
from dico.presets.config import resolve
from dico.storage import write_digests
from dico.storage.digests import parse_digests
from dico.training.configs import FinetuneConfig

POLITE = (DicoError, JsonFinding, TarError, ImageError)
Target = Callable[[bytes], None]


def strict_json(data: bytes) -> None:
    Parser().parse(data.decode("utf-8", "surrogateescape"))


def overrides(data: bytes) -> None:
    resolve("toy", data.decode("utf-8", "replace"))


def config(data: bytes) -> None:
    from_json(FinetuneConfig, data.decode("utf-8", "replace"), "finetune")


def digests(data: bytes) -> None:
    parse_digests(data, "digests.json")


def image(data: bytes) -> None:
    load_image_bytes(data, "image")


def tar(data: bytes) -> None:
    with _file("t.tar", data) as path:
        list(iter_members(path))


def manifest(data: bytes) -> None:
    with _file("m.parquet", data) as path:
        read_manifest(path)


def checkpoint(data: bytes) -> None:
    """Byte 0 chooses the file that ``data`` stands for; its digests are those of the folder."""
    from dico.training.resilience.checkpoint import read_checkpoint
    from tests.reliability.saver import small_state

    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        folder = Path(temporary)
        tensors, state = _checkpoint()
        is_state = bool(data[:1] and data[0] % 2)
        (folder / "state.json").write_bytes(data[1:] if is_state else state)
        (folder / "tensors.safetensors").write_bytes(tensors if is_state else data[1:])
        write_digests(folder)
        small_state(0).load(*read_checkpoint(folder))


def _dataset(name: str) -> Target:
    def read(data: bytes) -> None:
        with _file(name, data) as path:
            for entry in read_entries(detect(str(path))):
                assert isinstance(entry.captions, list)

    return read


TARGETS: dict[str, Target] = {
    "strict-json": strict_json,
    "overrides": overrides,
    "config": config,
    "digests": digests,
    "image": image,
    "tar": tar,
    "manifest": manifest,
    "checkpoint": checkpoint,
    "json-dataset": _dataset("d.json"),
    "jsonl-dataset": _dataset("d.jsonl"),
    "csv-dataset": _dataset("d.csv"),
    "captions-dataset": _dataset("d.txt"),
    "parquet-dataset": _dataset("d.parquet"),
    "tar-dataset": _dataset("d.tar"),
}


def politely(name: str, data: bytes) -> bool:
    """Whether the target took ``data``; False where it refused it as it should."""
    try:
        TARGETS[name](data)
    except POLITE:
        return False
    return True


@cache
def seeds(name: str) -> tuple[bytes, ...]:
    """Good inputs of a target, to be changed."""
    row = {"image": "a.png", "captions": ["a red circle"], "split": "train"}
    sentence = {"raw": "a red circle", "tokens": ["a"]}
    karpathy = {"images": [{"filename": "a.png", "split": "train", "sentences": [sentence]}]}
    coco = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"id": 1, "image_id": 1, "caption": "a red circle"}],
    }
    texts = {
        "strict-json": [json.dumps([row, 1.5, None, "\u00e9", {"a": {"b": []}}])],
        "overrides": ["xe.num_steps=200 finetune.beta=0.1 evaluator.vision_layers=[1,1]"],
        "config": [json.dumps({"beta": 0.2, "guards": {"max_rewinds": 1}})],
        "digests": [json.dumps({"format": 1, "files": {"a": {"sha256": "0" * 64, "bytes": 3}}})],
        "json-dataset": [json.dumps(karpathy), json.dumps(coco), json.dumps([row, row])],
        "jsonl-dataset": [json.dumps(row) + "\n" + json.dumps({**row, "id": "b"}) + "\n"],
        "csv-dataset": [
            'image,caption,split\na.png,a red circle,train\nb.png,"two, of them",val\n'
        ],
        "captions-dataset": ["a.jpg#0\ta red circle\nb.jpg| 0| a blue one\n"],
    }
    if name in texts:
        return tuple(text.encode() for text in texts[name])
    if name == "checkpoint":
        tensors, state = _checkpoint()
        return (b"\0" + tensors, b"\1" + state)
    return (_bytes_of(name),)


def _bytes_of(name: str) -> bytes:
    from PIL import Image

    target = io.BytesIO()
    if name == "image":
        Image.new("RGB", (8, 6), (200, 10, 10)).save(target, "PNG")
        return target.getvalue()
    if name in ("tar", "tar-dataset"):
        with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for member, content in (("0.png", _bytes_of("image")), ("0.txt", b"a red circle")):
                info = tarfile.TarInfo(member + "x" * 120 * (member == "0.txt"))
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return target.getvalue()
    record = Record("a", "/a.png", "0" * 64, 10, 8, 6, ("a red circle",), "train")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        write_manifest([record], Path(temporary) / "m.parquet")
        return (Path(temporary) / "m.parquet").read_bytes()


@cache
def _checkpoint() -> tuple[bytes, bytes]:
    from tests.reliability.saver import small_state

    state = small_state(1)
    tensors = {name: value.numpy() for name, value in state.tensors().items()}
    small = {k: np.ascontiguousarray(v) for k, v in tensors.items() if not k.startswith("rng/")}
    return save(small), json.dumps(state.summary()).encode()


@contextlib.contextmanager
def _file(name: str, data: bytes):
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        path = Path(temporary) / name
        path.write_bytes(data)
        yield path
