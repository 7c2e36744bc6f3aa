"""D1: pickles that would run something, given as any file that is loaded: none runs."""

import itertools
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from dico.errors import DicoError
from dico.models import huggingface
from dico.models.captioner import Captioner
from dico.models.captioner_config import HuggingFaceConfig
from dico.models.evaluator import Evaluator
from dico.models.tokenizer import Tokenizer
from dico.registry import open_registry
from dico.storage import write_digests
from dico.weights.clip import import_clip, load_open_clip
from dico.weights.files import read_tensors
from dico.weights.huggingface import import_dico
from tests.policy.families import git, write_checkpoint
from tests.reliability.pickles import CONTAINERS, payloads
from tests.reliability.result import CONTROL, Result
from tests.serving.tiny import make_version
from tests.training import tiny

IDS = ("D1",)
HUGGING_FACE_FILES = (
    "model.safetensors",
    "config.json",
    "policy.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".json", ".npy", "")
_UNPICKLE = """
import pathlib, pickle, sys
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.pkl")):
    try:
        pickle.loads(path.read_bytes())
    except BaseException:
        pass
"""
Load = Callable[[Path, bytes], object]


def check(full: bool) -> list[Result]:
    """Each payload in each container at each place, or for a quick look in turn at one place."""
    with tempfile.TemporaryDirectory(prefix="pickles-") as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(temporary)
        made = payloads(folder / "payloads")
        control = _control(folder / "payloads", made)
        targets = _targets(folder)
        turns = itertools.cycle(itertools.product(targets, CONTAINERS))
        begun, refused, total = time.monotonic(), 0, 0
        for name, payload in made.items():
            canary = folder / "payloads" / f"{name}.canary"
            for target, container in _places(full, targets, turns):
                outcome = _refused(targets[target], folder / "file", CONTAINERS[container](payload))
                ran = canary.is_symlink() or canary.exists()
                refused, total = refused + (outcome and not ran), total + 1
                if ran or not outcome:
                    print(f"D1: {name}, {container}, as {target}: ran {ran}", file=sys.stderr)
        note = (
            f"{len(made)} payloads, {len(CONTAINERS)} containers, {len(targets)} places; 0 executed"
        )
        if refused < total:
            note = f"{total - refused} executed or were accepted"
        name = "malicious pickles are refused and never executed"
        return [Result("D1", name, refused, total, time.monotonic() - begun, note), control]


def _places(
    full: bool, targets: dict[str, Load], turns: Iterator[tuple[str, str]]
) -> list[tuple[str, str]]:
    if full:
        return list(itertools.product(targets, CONTAINERS))
    return list(itertools.islice(turns, 4))


def _control(folder: Path, made: dict[str, bytes]) -> Result:
    """Unpickled without protection, in a process of its own, every payload leaves its canary."""
    begun = time.monotonic()
    for name, payload in made.items():
        (folder / f"{name}.pkl").write_bytes(payload)
    command = [sys.executable, "-c", _UNPICKLE, str(folder)]
    subprocess.run(command, stdin=-3, stdout=-3, stderr=-3, check=False)
    canaries = list(folder.glob("*.canary"))
    for canary in canaries:
        canary.rmdir() if canary.is_dir() and not canary.is_symlink() else canary.unlink()
    name = f"{CONTROL}unpickled without protection, they execute"
    return Result("D1", name, len(canaries), len(made), time.monotonic() - begun)


def _refused(load: Load, path: Path, data: bytes) -> bool:
    try:
        taken = load(path, data)
    except DicoError:
        return True
    except Exception as error:
        print(f"D1: not refused in our words: {error!r}", file=sys.stderr)
        return False
    return taken is False


def _targets(folder: Path) -> dict[str, Load]:
    """Places where a file that is not ours may come in: each loads it as dico would."""
    version = make_version(folder / "version")
    captioner, evaluator = version / "captioner", version / "evaluator"
    targets: dict[str, Load] = {}
    for suffix in SUFFIXES:
        targets[f"weights {suffix}"] = _weights(suffix, read_tensors)
    targets["PAC-S weights"] = _weights(".pth", lambda path: import_clip(path, quick_gelu=True))
    targets["open_clip weights"] = _weights(".pt", lambda path: load_open_clip("RN50", str(path)))
    for name in ("pytorch_model.bin", "model.safetensors", "config.json"):
        targets[f"authors' {name}"] = _authors(folder / "authors", name)
    for name in ("model.safetensors", "config.json", "tokenizer/tokenizer.json"):
        targets[f"captioner {name}"] = _replaced(captioner / name, captioner, Captioner.load)
    for name in ("clip.safetensors", "config.json", "tokenizer/tokenizer.json"):
        targets[f"evaluator {name}"] = _replaced(
            evaluator / name, evaluator, lambda path: Evaluator.load(path, "clip")
        )
    targets |= _huggingface(folder / "huggingface")
    targets["tokenizer"] = _replaced(
        captioner / "tokenizer" / "tokenizer.json", None, lambda path: Tokenizer.load(path.parent)
    )
    for name in ("tensors.safetensors", "state.json", "digests.json"):
        targets[f"checkpoint {name}"] = _checkpoint(folder / "store", name)
    targets["registry record"] = _record(folder)
    return targets


def _weights(suffix: str, read: Callable[[Path], object]) -> Load:
    def load(path: Path, data: bytes) -> object:
        path = path.with_suffix(suffix)
        path.write_bytes(data)
        found = read(path)
        # Inert tensors are what a sound safetensors file may hold.
        return not (isinstance(found, dict) and set(found) == {"a"})

    return load


def _authors(folder: Path, name: str) -> Load:
    def load(_: Path, data: bytes) -> object:
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        (folder / "config.json").write_text("{}")
        (folder / name).write_bytes(data)
        return import_dico(folder)

    return load


def _huggingface(folder: Path) -> dict[str, Load]:
    """Files of a captioner of transformers: one that is ours, and a user's without safetensors."""
    theirs, saved = write_checkpoint(git, folder / "theirs", ["a red circle"]), folder / "saved"
    huggingface.save(huggingface.open_checkpoint(HuggingFaceConfig(str(theirs))), saved)
    targets: dict[str, Load] = {}
    for name in HUGGING_FACE_FILES:
        targets[f"huggingface {name}"] = _replaced(saved / name, saved, huggingface.load)
    (theirs / "model.safetensors").unlink()

    def load(_: Path, data: bytes) -> object:
        (theirs / "pytorch_model.bin").write_bytes(data)
        return huggingface.open_checkpoint(HuggingFaceConfig(str(theirs)))

    return targets | {"huggingface pytorch_model.bin": load}


def _replaced(path: Path, folder: Path | None, read: Callable[[Path], object]) -> Load:
    """Puts the file in the place of one of ours, whose digests an attacker writes anew."""
    before = path.read_bytes()

    def load(_: Path, data: bytes) -> object:
        path.write_bytes(data)
        try:
            if folder is not None:
                write_digests(folder)
            return read(folder or path)
        finally:
            path.write_bytes(before)
            if folder is not None:
                write_digests(folder)

    return load


def _checkpoint(store: Path, name: str) -> Load:
    from dico.training.resilience.state import TrainingState

    def state() -> TrainingState:
        model = torch.nn.Linear(2, 2)
        return TrainingState(model, torch.optim.Adam(model.parameters()))

    checkpoints = tiny.checkpoints(store)
    checkpoints.save(state())
    (folder,) = [path.parent for path in store.rglob("state.json")]
    before = (folder / name).read_bytes()

    def load(_: Path, data: bytes) -> object:
        (folder / name).write_bytes(data)
        try:
            if name != "digests.json":
                write_digests(folder)
            return checkpoints.resume(state())
        finally:
            (folder / name).write_bytes(before)
            write_digests(folder)

    return load


def _record(folder: Path) -> Load:
    registry = open_registry(folder / "registry")
    (folder / "empty").mkdir()
    registry.register("a", folder / "empty", {}, identity="one")
    (path,) = (folder / "registry").rglob("000001.json")

    def load(_: Path, data: bytes) -> object:
        path.write_bytes(data)
        return registry.get("a", 1)

    return load
