"""C6 and B6: the feature store gives back what was added, and refuses all else."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from dico.errors import DataError, DigestError, StorageError
from dico.features import format as feature_format
from dico.features import writer as feature_writer
from dico.features.store import FeatureSpec, FeatureStore, FeatureWriter

SPEC = FeatureSpec("tower", {"tokens": ((5, 8), "float16"), "embedding": ((4,), "float32")})


def key_of(index: int) -> str:
    return hashlib.sha256(str(index).encode()).hexdigest()


def arrays_of(index: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(index)
    return {
        "tokens": generator.standard_normal((5, 8)).astype(np.float16),
        "embedding": generator.standard_normal(4).astype(np.float32),
    }


def write(folder: Path, indices: range) -> None:
    with FeatureWriter.open(folder, SPEC) as writer:
        for index in indices:
            writer.add(key_of(index), **arrays_of(index))


def test_rows_come_back_in_the_order_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_writer, "SHARD_BYTES", 80 * 7)  # seven rows a shard
    write(tmp_path, range(20))
    store = FeatureStore.open(tmp_path)
    order = [19, 0, 7, 7, 13, 6]
    tokens = store.read([key_of(i) for i in order], "tokens")
    assert tokens.dtype == np.float16
    assert np.array_equal(tokens, np.stack([arrays_of(i)["tokens"] for i in order]))
    assert store.keys() == [key_of(i) for i in range(20)]
    assert len(list(tmp_path.glob("*.tokens.safetensors"))) == 3
    assert key_of(3) in store
    assert key_of(99) not in store
    assert store.read([], "tokens").shape == (0, 5, 8)


def test_large_rows_are_read_by_position(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_writer, "SHARD_BYTES", 80 * 7)
    monkeypatch.setattr(feature_format, "LARGE_ROW_BYTES", 1)
    write(tmp_path, range(20))
    order = [19, 0, 7, 7, 13, 6]
    tokens = FeatureStore.open(tmp_path).read([key_of(i) for i in order], "tokens")
    assert np.array_equal(tokens, np.stack([arrays_of(i)["tokens"] for i in order]))


def test_a_shard_is_a_safetensors_file(tmp_path: Path) -> None:
    write(tmp_path, range(3))
    (path,) = tmp_path.glob("*.embedding.safetensors")
    expected = np.stack([arrays_of(i)["embedding"] for i in range(3)])
    assert np.array_equal(load_file(path)["embedding"], expected)


def test_only_new_images_are_missing(tmp_path: Path) -> None:
    write(tmp_path, range(4))
    writer = FeatureWriter.open(tmp_path, SPEC)
    keys = [key_of(i) for i in (2, 5, 3, 5, 9)]
    assert writer.missing(keys) == [key_of(5), key_of(9)]
    writer.add(key_of(5), **arrays_of(5))
    writer.add(key_of(2), **arrays_of(77))  # there already: kept as it was
    writer.close()
    store = FeatureStore.open(tmp_path)
    assert len(store) == 5
    assert np.array_equal(store.read([key_of(2)], "tokens")[0], arrays_of(2)["tokens"])


def test_what_was_added_before_a_death_is_kept_by_whole_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_writer, "SHARD_BYTES", 80 * 4)
    writer = FeatureWriter.open(tmp_path, SPEC)
    for index in range(6):  # one whole shard of four, two rows in the open one
        writer.add(key_of(index), **arrays_of(index))
    again = FeatureWriter.open(tmp_path, SPEC)  # as after a SIGKILL: nothing was closed
    assert again.missing([key_of(i) for i in range(6)]) == [key_of(4), key_of(5)]
    assert len(FeatureStore.open(tmp_path)) == 4
    assert writer._open is not None
    for file in writer._open._files.values():
        file.close()


def test_a_store_goes_to_other_processes_by_name(tmp_path: Path) -> None:
    write(tmp_path, range(4))
    store = FeatureStore.open(tmp_path)
    write(tmp_path, range(6))
    other = pickle.loads(pickle.dumps(store))
    assert other.keys() == store.keys() == [key_of(i) for i in range(4)]
    assert np.array_equal(other.read([key_of(2)], "tokens")[0], arrays_of(2)["tokens"])


def test_bfloat16_is_kept_as_its_bits(tmp_path: Path) -> None:
    spec = FeatureSpec("tower", {"tokens": ((3,), "bfloat16")})
    bits = np.array([0x3F80, 0x4000, 0xBF80], np.uint16)  # 1, 2, -1
    with FeatureWriter.open(tmp_path, spec) as writer:
        writer.add(key_of(0), tokens=bits)
        with pytest.raises(DataError, match="not finite"):
            writer.add(key_of(1), tokens=np.array([0x7F80, 0, 0], np.uint16))
    assert np.array_equal(FeatureStore.open(tmp_path).read([key_of(0)], "tokens")[0], bits)


def spoiled(name: str, value: object) -> dict[str, object]:
    return {**arrays_of(0), name: value}


NAN = arrays_of(0)["tokens"].copy()
NAN[2, 3] = np.nan
REFUSED = {
    "not finite": spoiled("tokens", NAN),
    "all zero": spoiled("embedding", np.zeros(4, np.float32)),
    "shape": spoiled("tokens", np.ones((5, 9), np.float16)),
    "float32": spoiled("tokens", np.ones((5, 8), np.float32)),
    "object": spoiled("tokens", np.full((5, 8), None, object)),
    "missing": {"tokens": arrays_of(0)["tokens"]},
    "unknown": {**arrays_of(0), "more": np.ones(1, np.float32)},
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_wrong_row_is_refused_naming_its_key(tmp_path: Path, message: str) -> None:
    writer = FeatureWriter.open(tmp_path, SPEC)
    with pytest.raises(DataError, match=message) as refusal:
        writer.add(key_of(0), **REFUSED[message])  # type: ignore[arg-type]
    assert key_of(0) in str(refusal.value)
    assert writer.missing([key_of(0)]) == [key_of(0)]


def test_keys_arrays_and_towers_are_checked(tmp_path: Path) -> None:
    write(tmp_path, range(2))
    store = FeatureStore.open(tmp_path)
    with pytest.raises(DataError, match=key_of(9)):
        store.read([key_of(0), key_of(9)], "tokens")
    with pytest.raises(DataError, match="no array 'token'"):
        store.read([key_of(0)], "token")
    with pytest.raises(DataError, match="not a feature key"):
        store.read(["photo.jpg"], "tokens")
    with pytest.raises(DataError, match="another tower"):
        FeatureWriter.open(tmp_path, FeatureSpec("other", SPEC.arrays))
    with pytest.raises(DataError, match="no feature store"):
        FeatureStore.open(tmp_path / "nothing")


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 4
    path.write_bytes(data)


def test_every_flipped_bit_is_found_before_use(tmp_path: Path) -> None:
    write(tmp_path, range(6))
    FeatureStore.open(tmp_path)  # control: whole
    generator = np.random.default_rng(0)
    files = list(tmp_path.glob("shard-*"))
    assert len(files) == 3
    found = 0
    for trial in range(60):
        path = files[trial % 3]
        good = path.read_bytes()
        flip(path, int(generator.integers(len(good))))
        with pytest.raises(DigestError):
            FeatureStore.open(tmp_path)
        path.write_bytes(good)
        found += 1
    FeatureStore.open(tmp_path)
    print(f"flipped bits found: {found} of 60")


def test_the_index_is_checked_against_its_pointer(tmp_path: Path) -> None:
    write(tmp_path, range(2))
    digest = FeatureStore.open(tmp_path).digest
    FeatureStore.open(tmp_path, digest=digest)
    write(tmp_path, range(5))
    assert len(FeatureStore.open(tmp_path)) == 5
    assert len(FeatureStore.open(tmp_path, digest=digest)) == 2  # as it was for the pointer
    flip(tmp_path / feature_format.index_name(digest), 30)
    with pytest.raises(DigestError):
        FeatureStore.open(tmp_path, digest=digest)


def test_rows_out_of_order_are_found(tmp_path: Path) -> None:
    """Off by one: each row is whole, and belongs to another image."""
    write(tmp_path, range(6))
    (path,) = tmp_path.glob("*.tokens.safetensors")
    data = path.read_bytes()
    head, rows = data[: feature_format.HEADER_BYTES], data[feature_format.HEADER_BYTES :]
    path.write_bytes(head + rows[80:] + rows[:80])
    with pytest.raises(DigestError, match=key_of(0)):
        FeatureStore.open(tmp_path)
    shuffled = FeatureStore.open(tmp_path, verify=False).read([key_of(0)], "tokens")[0]
    assert np.array_equal(shuffled, arrays_of(1)["tokens"])  # control: unseen without digests


def test_too_little_space_is_refused_before_the_start(tmp_path: Path) -> None:
    writer = FeatureWriter.open(tmp_path, SPEC)
    writer.require_space(1_000)
    with pytest.raises(StorageError, match="GB are needed"):
        writer.require_space(10**15)
