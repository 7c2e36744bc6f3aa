"""scripts/install-locked: the files of a lock and no others, from wheels made here."""

import hashlib
import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "install-locked"


def wheel(folder, name):
    """A wheel with one module; returns its line in a lock."""
    info = f"{name}-84.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 84\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-84-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in files.items():
            archive.writestr(inner, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{inner},,\n" for inner in files))
    return f"{name}==84 \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def install(folder, lock):
    """Exit status, what was said, and the modules that are there then."""
    (folder / "lock.txt").write_text(lock)
    there = {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder / "wheels"),
        "PIP_TARGET": str(folder / "target"),
        "PIP_CONFIG_FILE": os.devnull,
    }
    done = subprocess.run(
        [str(SCRIPT), sys.executable, str(folder / "lock.txt")],
        env=os.environ | there,
        capture_output=True,
        text=True,
    )
    modules = sorted(path.stem for path in (folder / "target").glob("*.py"))
    return done.returncode, done.stderr, modules


@pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="pip is not installed")
def test_one_wrong_hash_and_nothing_of_the_lock_comes(tmp_path):
    lines = [wheel(tmp_path / "wheels", name) for name in ("first", "second", "setuptools")]
    wrong = [lines[0], lines[1].replace("sha256:", "sha256:0")[:-2] + "\n", lines[2]]
    status, said, modules = install(tmp_path, "".join(wrong))
    assert status != 0
    assert "DO NOT MATCH THE HASHES" in said
    assert modules == ["setuptools"]
    status, said, modules = install(tmp_path, "".join(lines))
    assert (status, modules) == (0, ["first", "second", "setuptools"]), said
