"""Writes one kind of file again and again: ``python -m tests.reliability.disk_writer KIND FOLDER``.

The exit code is that of a command of dico. ``NUMBER`` tells versions apart; all are of one size.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

from dico.data.manifest import Record, write_manifest
from dico.features.store import FeatureSpec, FeatureWriter
from dico.process.exits import exit_codes
from dico.storage import atomic_folder, atomic_write, open_store

SPEC = FeatureSpec("tower", {"tokens": ((64, 64), "float16")})
NUM_ROWS = 60


def records(number: int) -> list[Record]:
    digests = [hashlib.sha256(f"{number}/{i}".encode()).hexdigest() for i in range(4_000)]
    return [Record(d, f"/photos/{d}.jpg", d, 1, 2, 3, (f"a dog {d}",), "train") for d in digests]


def blob(number: int) -> bytes:
    return np.random.default_rng(number).bytes(400_000)


def _manifest(folder: Path, number: int) -> None:
    write_manifest(records(number), folder / "out")


def _file(folder: Path, number: int) -> None:
    with atomic_write(folder / "out") as temporary:
        temporary.write_bytes(blob(number))


def _folder(folder: Path, number: int) -> None:
    with atomic_folder(folder / "out") as temporary:
        (temporary / "weights").write_bytes(blob(number))


def _store(folder: Path, number: int) -> None:
    open_store(folder).write_bytes("out", blob(number))


def _features(folder: Path, number: int) -> None:
    with FeatureWriter.open(folder / "out", SPEC) as writer:
        for index in range(NUM_ROWS):
            key = hashlib.sha256(f"{number}/{index}".encode()).hexdigest()
            writer.add(key, tokens=np.full((64, 64), index + 1, np.float16))


def _preflight(folder: Path, number: int) -> None:
    FeatureWriter.open(folder / "out", SPEC).require_space(10**6 + number)


def _in_place(folder: Path, number: int) -> None:
    """Negative control: what all others avoid."""
    (folder / "out").write_bytes(blob(number))


KINDS = {
    "manifest": _manifest,
    "file": _file,
    "folder": _folder,
    "store": _store,
    "features": _features,
    "preflight": _preflight,
    "in-place": _in_place,
}


if __name__ == "__main__":
    with exit_codes():
        KINDS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
