"""D5: whatever is changed in a registered version or its records is noticed before it is used."""

import hashlib
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dico.errors import DicoError
from dico.registry import CHAMPION, open_registry, signing
from dico.storage import write_digests
from tests.reliability.result import CONTROL, Result
from tests.serving.tiny import make_version

IDS = ("D5",)
NAME = "tiny"
Change = Callable[[Path], None]


def check(full: bool) -> list[Result]:
    """Plain changes, and changes by someone who writes digests and seals anew, without the key."""
    with tempfile.TemporaryDirectory(prefix="tampering-") as temporary:
        folder = Path(temporary)
        make_version(folder / "version")
        signing.new_key(folder / "key.pem", folder / "key.pub")
        keys = {
            signing.PRIVATE_KEY_VARIABLE: str(folder / "key.pem"),
            signing.PUBLIC_KEY_VARIABLE: str(folder / "key.pub"),
        }
        rows = [
            _row("any byte changed, no keys in use", _bytes(folder / "plain", full), {}, folder),
            _row("any byte changed", _bytes(folder / "signed", full), keys, folder),
            _row(
                "files cut, grown, added, removed, swapped",
                _files(folder / "signed", full),
                keys,
                folder,
            ),
            _row("digests and seals rewritten", _forged(), keys, folder),
            _row("records moved under another name", _replayed(folder / "signed"), keys, folder),
        ]
        row = _row("", _forged(), {}, folder)
        name = f"{CONTROL}without signatures, rewritten digests are believed"
        taken = int(row.passed < row.total)
        note = f"{row.total - row.passed} of {row.total} were believed"
        return [*rows, Result("D5", name, taken, 1, row.seconds, note)]


def _row(
    name: str, changes: Iterator[tuple[str, Change]], keys: dict[str, str], folder: Path
) -> Result:
    begun, noticed, total = time.monotonic(), 0, 0
    with _environment(keys):
        registry = folder / ("signed" if keys else "plain")
        if not registry.is_dir():
            _register(folder / "version", registry)
        whole = folder / "whole"
        shutil.rmtree(whole, ignore_errors=True)
        shutil.copytree(registry, whole)
        for what, change in changes:
            change(registry)
            found = _noticed(registry)
            if not found and name:
                print(f"D5: not noticed: {what}")
            noticed, total = noticed + found, total + 1
            _restore(whole, registry)
        assert not _noticed(registry), "what nobody changed is whole"
    return Result("D5", f"tampering detected: {name}", noticed, total, time.monotonic() - begun)


def _register(version: Path, registry: Path) -> None:
    opened = open_registry(registry)
    for number in (1, 2):
        copied = Path(shutil.copytree(version, f"{registry}-{number}"))
        (copied / "lineage.json").write_text(json.dumps({"seed": number}))
        opened.register(NAME, copied, {"seed": number}, identity=str(number))
    opened.set_alias(NAME, CHAMPION, 2, "better")
    opened.set_alias(NAME, "previous", 1, "kept")


def _noticed(registry: Path) -> bool:
    """Whether using the champion, and both versions, is refused."""
    opened = open_registry(registry)
    try:
        champion = opened.resolve(NAME, CHAMPION)
        previous = opened.resolve(NAME, "previous")
        if champion is None or previous is None:
            return True
        for version in (champion, previous, opened.get(NAME, 1), opened.get(NAME, 2)):
            folder = opened.fetch(version, registry / "cache")
            signing.verify_if_configured(folder)
    except DicoError:
        return True
    return False


def _paths(registry: Path) -> list[Path]:
    return sorted(path for path in registry.rglob("*") if path.is_file())


def _bytes(registry: Path, full: bool) -> Iterator[tuple[str, Change]]:
    """One flipped bit in each file: its first and last byte and some others, or every byte."""
    drawn = random.Random(0)
    for path in _paths(registry):
        size = path.stat().st_size
        positions = {drawn.randrange(size) for _ in range(30 if full else 1)}
        positions |= {0, size - 1} if full else set()
        if full and size < 600:
            positions = set(range(size))
        for position in sorted(positions):
            yield f"{path.name} byte {position}", _flip(path, position, drawn.randrange(8))


def _flip(path: Path, position: int, bit: int) -> Change:
    def change(_: Path) -> None:
        data = bytearray(path.read_bytes())
        data[position] ^= 1 << bit
        path.write_bytes(data)

    return change


def _files(registry: Path, full: bool) -> Iterator[tuple[str, Change]]:
    paths = _paths(registry)[:: 1 if full else 4]
    for path, other in zip(paths, paths[1:] + paths[:1], strict=True):
        yield f"{path.name} cut", lambda _, path=path: path.write_bytes(path.read_bytes()[:-1])
        yield f"{path.name} grown", lambda _, path=path: path.write_bytes(path.read_bytes() + b"\n")
        yield f"{path.name} empty", lambda _, path=path: path.write_bytes(b"")
        yield f"{path.name} removed", lambda _, path=path: path.unlink()
        if path.read_bytes() != other.read_bytes():
            yield f"{path.name} swapped", lambda _, path=path, other=other: _swap(path, other)
    for folder in sorted({path.parent for path in paths if "models" in path.parts}):
        yield "added", lambda _, folder=folder: (folder / "extra.json").write_text("{}")


def _swap(path: Path, other: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(data)


def _forged() -> Iterator[tuple[str, Change]]:
    """Changes in a version's folder whose digests, place and record are all made to fit."""
    for name in ("lineage.json", "captioner/model.safetensors", "evaluator/config.json"):
        yield name, lambda registry, name=name: _forge(registry, name)
    yield "without its signature", lambda registry: _forge(registry, signing.SIGNATURE)
    yield (
        "record",
        lambda registry: _reseal(
            registry / NAME / "versions" / "000002.json", lambda content: content | {"metadata": {}}
        ),
    )
    yield (
        "alias",
        lambda registry: _reseal(
            registry / NAME / "aliases" / "champion.json", lambda content: content | {"number": 1}
        ),
    )


def _forge(registry: Path, name: str) -> None:
    record = registry / NAME / "versions" / "000002.json"
    digest = json.loads(record.read_text())["content"]["digest"]
    folder = registry / NAME / "models" / digest[:32]
    path = folder / name
    if name == signing.SIGNATURE:
        path.unlink(missing_ok=True)
        (folder / "lineage.json").write_text("{}")
    else:
        path.write_bytes(path.read_bytes().replace(b"}", b" }", 1) + b"\n")
    if path.parent != folder:
        write_digests(path.parent)
    forged = write_digests(folder)
    folder.rename(folder.parent / forged[:32])
    _reseal(record, lambda content: content | {"digest": forged})


def _reseal(path: Path, change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    sealed = json.loads(path.read_text())
    content = change(sealed["content"])
    text = json.dumps(content, sort_keys=True)
    sealed |= {"content": content, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    path.write_text(json.dumps(sealed, sort_keys=True, indent=1))


def _replayed(registry: Path) -> Iterator[tuple[str, Change]]:
    """Whole, signed records in the place of others."""
    versions, aliases = registry / NAME / "versions", registry / NAME / "aliases"
    pairs = [
        (versions / "000001.json", versions / "000002.json"),
        (versions / "000002.json", versions / "000001.json"),
        (aliases / "previous.json", aliases / "champion.json"),
        (aliases / "champion.json", aliases / "previous.json"),
        (versions / "000001.json", aliases / "champion.json"),
        (aliases / "champion.json", versions / "000001.json"),
    ]
    for source, target in pairs:
        name = f"{source.name} as {target.name}"
        yield name, lambda _, source=source, target=target: shutil.copyfile(source, target)


def _restore(whole: Path, registry: Path) -> None:
    shutil.rmtree(registry)
    shutil.copytree(whole, registry)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    names = (signing.PRIVATE_KEY_VARIABLE, signing.PUBLIC_KEY_VARIABLE)
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
