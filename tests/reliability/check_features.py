"""C6: features that are not what they should be are refused, naming the image."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dico.errors import DataError, DigestError
from dico.features.format import HEADER_BYTES
from dico.features.store import FeatureSpec, FeatureStore, FeatureWriter
from tests.reliability.result import CONTROL, Result, count

IDS = ("C6",)
SPEC = FeatureSpec("tower", {"tokens": ((5, 8), "float16"), "embedding": ((4,), "float32")})
ROW_BYTES = SPEC.row_bytes("tokens")
NUM_ROWS = 30
Row = dict[str, Any]


def _spoil(name: str, value: Callable[[np.ndarray], Any]) -> Callable[[Row], Row]:
    return lambda row: {**row, name: value(row[name])}


def _with(at: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        changed = values.copy()
        changed.flat[-1] = at
        return changed

    return change


WRONG: dict[str, Callable[[Row], Row]] = {
    "NaN": _spoil("tokens", _with(np.nan)),
    "infinity": _spoil("embedding", _with(-np.inf)),
    "zero norm": _spoil("embedding", np.zeros_like),
    "too wide": _spoil("tokens", lambda x: np.ones((5, 9), np.float16)),
    "too few tokens": _spoil("tokens", lambda x: x[:4]),
    "transposed": _spoil("tokens", lambda x: x.T.copy()),
    "float32": _spoil("tokens", lambda x: x.astype(np.float32)),
    "float64": _spoil("embedding", lambda x: x.astype(np.float64)),
    "object array": _spoil("tokens", lambda x: x.astype(object)),
    "an array missing": lambda row: {"tokens": row["tokens"]},
    "an array too many": lambda row: {**row, "more": row["embedding"]},
}


def check(full: bool) -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="features-") as temporary:
        store = Path(temporary) / "store"
        with FeatureWriter.open(store, SPEC) as writer:
            for index in range(NUM_ROWS):
                writer.add(_key(index), **_row(index))
        shifts = range(1, NUM_ROWS if full else 4)
        unseen = count("C6", "", (_order_is_seen(store, shift, verify=False) for shift in shifts))
        return [
            count("C6", "wrong rows are refused, naming the image id",
                  _wrong(store, 20 if full else 3)),
            count("C6", "rows out of order are detected, naming an image id",
                  (_order_is_seen(store, shift, verify=True) for shift in shifts)),
            count("C6", "keys of other images are detected", _other_keys(store, shifts)),
            count("C6", "image ids without features are named", _absent(store)),
            Result("C6", CONTROL + "without digests rows out of order go unnoticed",
                   int(unseen.passed == 0), 1, unseen.seconds,
                   f"{unseen.total - unseen.passed} of {unseen.total} unnoticed"),
        ]  # fmt: skip


def _key(index: int) -> str:
    return hashlib.sha256(str(index).encode()).hexdigest()


def _row(index: int) -> Row:
    generator = np.random.default_rng(index)
    return {
        "tokens": generator.standard_normal((5, 8)).astype(np.float16),
        "embedding": generator.standard_normal(4).astype(np.float32),
    }


def _wrong(store: Path, times: int) -> Iterator[bool]:
    writer = FeatureWriter.open(store, SPEC)
    for spoil in WRONG.values():
        for index in range(1000, 1000 + times):
            try:
                writer.add(_key(index), **spoil(_row(index)))
                yield False
            except DataError as error:
                yield _key(index) in str(error) and bool(writer.missing([_key(index)]))


def _order_is_seen(store: Path, shift: int, verify: bool) -> bool:
    """Whether a store whose rows are moved by ``shift`` is refused."""
    with tempfile.TemporaryDirectory(prefix="features-") as temporary:
        copy = Path(temporary) / "store"
        shutil.copytree(store, copy)
        (path,) = copy.glob("*.tokens.safetensors")
        data = path.read_bytes()
        head, rows = data[:HEADER_BYTES], data[HEADER_BYTES:]
        path.write_bytes(head + rows[ROW_BYTES * shift :] + rows[: ROW_BYTES * shift])
        try:
            FeatureStore.open(copy, verify=verify).read([_key(0)], "tokens")
        except DigestError as error:
            return any(_key(index) in str(error) for index in range(NUM_ROWS))
        return False


def _other_keys(store: Path, shifts: range) -> Iterator[bool]:
    """The table of keys moved by some rows: its own digest tells."""
    for shift in shifts:
        with tempfile.TemporaryDirectory(prefix="features-") as temporary:
            copy = Path(temporary) / "store"
            shutil.copytree(store, copy)
            (path,) = copy.glob("*.keys.safetensors")
            data = path.read_bytes()
            path.write_bytes(data[:HEADER_BYTES] + data[HEADER_BYTES + 48 * shift :]
                             + data[HEADER_BYTES : HEADER_BYTES + 48 * shift])  # fmt: skip
            try:
                FeatureStore.open(copy)
                yield False
            except DigestError:
                yield True


def _absent(store: Path) -> Iterator[bool]:
    opened = FeatureStore.open(store)
    for key in (_key(NUM_ROWS), "photo.jpg", "", "00" * 32):
        try:
            opened.read([_key(0), key], "tokens")
            yield False
        except DataError as error:
            yield key in str(error)
