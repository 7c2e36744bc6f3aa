"""B5: no space, an I/O error, a read-only disk, no permission: one line, a code, nothing lost."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dico.features.store import FeatureStore
from dico.storage import sha256_file
from tests.reliability import disk_writer
from tests.reliability.result import CONTROL, Result, count, in_time

IDS = ("B5",)
ROOT = Path(__file__).parents[2]
KINDS = ("manifest", "file", "folder", "store", "features")
DISK_BYTES = 1_000_000
MAX_SECONDS = 5.0


def check(full: bool) -> list[Result]:
    kinds = KINDS if full else ("manifest", "features")
    rows = [
        _tried("disk full: exit 74, earlier files are intact", _no_space, kinds),
        _tried("I/O error: exit 74, earlier files are intact", _io_error, kinds),
        _tried("read-only disk: exit 74", _read_only, kinds),
        _tried("no permission: exit 77", _no_permission, kinds),
        _tried(
            "too little disk space: refused before writing, exit 74", _preflight, ("preflight",)
        ),
    ]
    lost = _tried("", _no_space, ("in-place",))
    note = lost.note if not lost.total else ""
    passed = int(lost.passed == 0) if lost.total else 0
    name = f"{CONTROL}earlier files are lost when written in place"
    return [*rows, Result("B5", name, passed, min(1, lost.total), lost.seconds, note)]


def _tried(name, trial, kinds) -> Result:  # type: ignore[no-untyped-def]
    """Counts the trials of all kinds; a machine that forbids them is told in the note."""
    begun = time.monotonic()
    try:
        return count("B5", name, (trial(kind) for kind in kinds), ", ".join(kinds))
    except (OSError, subprocess.CalledProcessError) as error:
        return Result("B5", name, 0, 0, time.monotonic() - begun, f"not possible here: {error}")


def _no_space(kind: str) -> bool:
    """The disk has room for one version and not for two."""
    with _disk() as folder:
        disk_writer.KINDS[kind](folder, 1)
        before = _content(folder)
        free = shutil.disk_usage(folder).free
        (folder / "filler").write_bytes(b"x" * max(0, free - 200_000))
        seconds, code = _run(kind, folder)
        (folder / "filler").unlink()
        return code == 74 and in_time(seconds, MAX_SECONDS) and _content(folder) == before


def _io_error(kind: str) -> bool:
    """The disk fails when bytes are to be flushed."""
    strace = shutil.which("strace")
    if strace is None:
        raise OSError("strace is not installed")
    with tempfile.TemporaryDirectory(prefix="disk-") as temporary:
        folder = Path(temporary)
        disk_writer.KINDS[kind](folder, 1)
        before = _content(folder)
        fault = ["-e", "trace=fsync", "-e", "inject=fsync:error=EIO"]
        _, code = _run(kind, folder, [strace, "-f", "-qq", "-o", "/dev/null", *fault])
        return code == 74 and _content(folder) == before


def _read_only(kind: str) -> bool:
    with _disk() as folder:
        disk_writer.KINDS[kind](folder, 1)
        before = _content(folder)
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True, capture_output=True)
        seconds, code = _run(kind, folder)
        return code == 74 and in_time(seconds, MAX_SECONDS) and _content(folder) == before


def _no_permission(kind: str) -> bool:
    """Root may write where the mode forbids it, but not where the folder is immutable."""
    with tempfile.TemporaryDirectory(prefix="disk-") as temporary:
        folder = Path(temporary)
        disk_writer.KINDS[kind](folder, 1)
        before = _content(folder)
        parts = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
        subprocess.run(["chattr", "+i", *parts], check=True, capture_output=True)
        try:
            seconds, code = _run(kind, folder)
        finally:
            subprocess.run(["chattr", "-i", *parts], check=True, capture_output=True)
        return code == 77 and in_time(seconds, MAX_SECONDS) and _content(folder) == before


def _preflight(kind: str) -> bool:
    with _disk() as folder:
        return _run(kind, folder)[1] == 74 and not list(folder.rglob("*.safetensors"))


@contextmanager
def _disk() -> Iterator[Path]:
    """A file system of its own, very small."""
    with tempfile.TemporaryDirectory(prefix="disk-") as temporary:
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", temporary]
        subprocess.run(command, check=True, capture_output=True)
        try:
            yield Path(temporary)
        finally:
            subprocess.run(["umount", temporary], check=True)


def _run(kind: str, folder: Path, before: list[str] | None = None) -> tuple[float, int]:
    """CPU seconds and exit code of writing the second version."""
    command = [*(before or []), sys.executable, "-m", "tests.reliability.disk_writer", kind]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    start = os.times()
    done = subprocess.run([*command, str(folder), "2"], cwd=ROOT, env=environment,
                          capture_output=True, text=True)  # fmt: skip
    end = os.times()
    one_line = done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    seconds = end.children_user - start.children_user + end.children_system - start.children_system
    return seconds, done.returncode if one_line else -1


def _content(folder: Path) -> dict[str, str]:
    """Digests of what a reader finds; of a feature store its rows, which must be whole."""
    out = folder / "out"
    if (out / "index.json").exists():
        store = FeatureStore.open(out)
        keys = store.keys()
        return {key: store.read([key], "tokens").tobytes().hex() for key in keys}
    files = [out] if out.is_file() else sorted(out.rglob("*"))
    return {path.name: sha256_file(path) for path in files if path.is_file()}
