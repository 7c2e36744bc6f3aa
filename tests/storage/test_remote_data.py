"""A dataset, its shards and its features in an object store are those of a local folder."""

import hashlib
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from dico.data.manifest import read_manifest
from dico.data.shards import write_shards
from dico.errors import AccessError, DataError, DigestError
from dico.evaluation.files import read_captions
from dico.evaluation.images import find_images
from dico.features import cache as feature_cache
from dico.features import format as feature_format
from dico.features.store import FeatureSpec, FeatureStore, FeatureWriter
from dico.images.load import load_image
from dico.storage import open_store
from dico.storage.uris import kept_copy
from dico.validation.config import ValidationConfig
from dico.validation.validate import validate
from tests.data.images import write_dataset
from tests.storage.conftest import use_endpoint
from tests.storage.faulty_proxy import FaultyProxy


def test_a_remote_dataset_and_its_shards(endpoint: str, tmp_path: Path) -> None:
    write_dataset(tmp_path / "in", 10)
    store = open_store("s3://dico-tests/photos")
    for path in (tmp_path / "in").rglob("*"):
        if path.is_file():
            store.upload(path, path.relative_to(tmp_path / "in").as_posix())
    config = ValidationConfig(num_workers=2)
    sources = {
        "local": str(tmp_path / "in/dataset.jsonl"),
        "remote": "s3://dico-tests/photos/dataset.jsonl",
        "shards": "s3://dico-tests/shards",
    }
    results = {}
    for name, source in sources.items():
        manifest = tmp_path / f"{name}.parquet"
        results[name] = validate(source, "", config, manifest, tmp_path / name)
        if name == "remote":
            write_shards(manifest, sources["shards"])
    assert {result.ok for result in results.values()} == {True}
    assert len({result.fingerprint for result in results.values()}) == 1
    uris = [record.uri for record in read_manifest(tmp_path / "shards.parquet")]
    assert all(uri.startswith("s3://dico-tests/shards/") for uri in uris)
    assert load_image(uris[0]).size == (96, 72)


def test_what_is_evaluated_may_be_remote(endpoint: str, tmp_path: Path) -> None:
    rows = write_dataset(tmp_path / "in", 4)
    captions = {row["image"]: row["captions"][0] for row in rows}
    (tmp_path / "in/said.json").write_text(json.dumps(captions))
    store = open_store("s3://dico-tests/scored")
    for path in (tmp_path / "in").rglob("*"):
        if path.is_file():
            store.upload(path, path.relative_to(tmp_path / "in").as_posix())
    own, other = str(tmp_path / "in"), "s3://dico-tests/scored"
    wanted = list(captions)
    found = {}
    for root in (own, other):
        said = read_captions(kept_copy(f"{root}/said.json"))
        references = kept_copy(f"{root}/dataset.jsonl")
        images = find_images(root, wanted, references)
        found[root] = said, [path.read_bytes() for path in images.values()]
        assert list(images) == wanted
    assert found[own] == found[other]
    with pytest.raises(DataError, match="no such folder"):
        find_images(f"{other}/nothing", wanted)


def test_a_missing_remote_image_is_a_finding(endpoint: str, tmp_path: Path) -> None:
    rows = write_dataset(tmp_path / "in", 4)
    store = open_store("s3://dico-tests/lost")
    for row in rows[1:]:
        store.upload(tmp_path / "in" / row["image"], row["image"])
    result = validate(
        str(tmp_path / "in/dataset.jsonl"),
        "s3://dico-tests/lost",
        ValidationConfig(num_workers=1),
        tmp_path / "m.parquet",
        tmp_path / "out",
    )
    assert [reason.partition(":")[0] for reason in result.reasons] == ["image_missing"]
    assert result.num_images == 3


def test_a_store_that_refuses_is_no_broken_dataset(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dico.storage import s3_client

    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    s3_client.make_client.cache_clear()
    write_dataset(tmp_path / "in", 3)
    try:
        with pytest.raises(AccessError, match="no credentials"):
            validate(
                str(tmp_path / "in/dataset.jsonl"),
                "s3://dico-tests/photos",
                ValidationConfig(num_workers=1),
                tmp_path / "m.parquet",
                tmp_path / "out",
            )
    finally:
        s3_client.make_client.cache_clear()


def test_remote_features(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DICO_CACHE", str(tmp_path / "writer"))
    spec = FeatureSpec("tower", {"tokens": ((4,), "float16")})
    keys = [hashlib.sha256(bytes([i])).hexdigest() for i in range(6)]
    uri = "s3://dico-tests/features"
    for low, high in ((0, 4), (2, 6)):
        with FeatureWriter.open(uri, spec) as writer:
            assert writer.missing(keys[low:high]) == keys[max(low, 4 if low else 0) : high]
            for index in range(low, high):
                writer.add(keys[index], tokens=np.full(4, index + 1, np.float16))
    monkeypatch.setenv("DICO_CACHE", str(tmp_path / "reader"))
    rows = FeatureStore.open(uri).read(keys, "tokens")
    assert np.array_equal(rows[:, 0], np.arange(1, 7))
    (shard, *_) = (tmp_path / "reader").rglob("*.tokens.safetensors")
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    again = FeatureStore.open(uri).read(keys, "tokens")  # a damaged copy is fetched again
    assert np.array_equal(again, rows)


KEYS = [hashlib.sha256(bytes([i])).hexdigest() for i in range(20)]
ROWS = np.random.default_rng(0).standard_normal((20, 4, 64)).astype(np.float16)


@pytest.fixture
def large_rows(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of a store of 20 images whose tokens count as large; this machine has no copy."""
    monkeypatch.setattr(feature_format, "LARGE_ROW_BYTES", 512)
    monkeypatch.setattr(feature_cache, "RANGE_BYTES", 3 * 512)
    monkeypatch.setenv("DICO_CACHE", str(tmp_path / "writer"))
    spec = FeatureSpec("tower", {"tokens": ((4, 64), "float16"), "embedding": ((4,), "float32")})
    uri = f"s3://dico-tests/{tmp_path.name}"
    with FeatureWriter.open(uri, spec) as writer:
        for key, row in zip(KEYS, ROWS, strict=True):
            writer.add(key, tokens=row, embedding=np.full(4, 2, np.float32))
    monkeypatch.setenv("DICO_CACHE", str(tmp_path / "reader"))
    return uri


def test_only_what_is_read_is_fetched(
    large_rows: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureStore.open(large_rows)
    wanted = [17, 3, 4, 5, 6, 3]
    with FaultyProxy(endpoint, (), 0.0) as proxy:
        use_endpoint(monkeypatch, proxy.url)
        for _ in range(2):
            found = store.read([KEYS[i] for i in wanted], "tokens")
            assert np.array_equal(found, ROWS[wanted])
        assert proxy.counts["requests"] == 3  # rows 3 to 5, row 6, row 17
        again = FeatureStore.open(large_rows, digest=store.digest)
        before = proxy.counts["requests"]
        assert np.array_equal(again.read([KEYS[4]], "tokens")[0], ROWS[4])
        assert proxy.counts["requests"] == before
        assert np.array_equal(again.read(KEYS, "tokens"), ROWS)


def test_a_damaged_row_of_the_copy_is_fetched_again(large_rows: str, tmp_path: Path) -> None:
    FeatureStore.open(large_rows).read(KEYS[:3], "tokens")
    (path,) = (tmp_path / "reader").rglob("*.tokens.safetensors")
    with open(path, "r+b") as file:
        file.seek(feature_format.HEADER_BYTES + 2 * 512 + 7)
        file.write(b"!")
    assert np.array_equal(FeatureStore.open(large_rows).read(KEYS, "tokens"), ROWS)


def test_wrong_rows_never_come_through(
    large_rows: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B2 for ranges, which carry no digest of their own: the row's is known from the index."""
    store = FeatureStore.open(large_rows)
    with FaultyProxy(endpoint, ("flipped",), 1.0) as proxy:
        use_endpoint(monkeypatch, proxy.url)
        with pytest.raises(DigestError, match=KEYS[5]):
            store.read([KEYS[5]], "tokens")
        assert proxy.counts["flipped"] == 4
        proxy.share = 0.3
        assert np.array_equal(store.read(KEYS, "tokens"), ROWS)


def test_several_processes_share_a_copy(large_rows: str) -> None:
    store = FeatureStore.open(large_rows)
    store.read(KEYS[:1], "tokens")  # the parent's threads and connections are not the workers'
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        reads = [pool.submit(store.read, KEYS[low:], "tokens") for low in (0, 5, 0, 9)]
        for low, read in zip((0, 5, 0, 9), reads, strict=True):
            assert np.array_equal(read.result(60), ROWS[low:])


def test_a_stale_index_is_detected_where_its_digest_is_known(
    large_rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = open_store(large_rows).read_bytes(feature_format.INDEX)
    with FeatureWriter.open(large_rows, FeatureStore.open(large_rows).spec) as writer:
        writer.add("ab" * 32, tokens=ROWS[0], embedding=np.ones(4, np.float32))
        digest = writer.close()
    assert len(FeatureStore.open(large_rows, digest=digest)) == 21
    for name in (feature_format.INDEX, feature_format.index_name(digest)):
        open_store(large_rows).write_bytes(name, old)
    monkeypatch.setenv("DICO_CACHE", str(tmp_path / "third"))
    with pytest.raises(DigestError):
        FeatureStore.open(large_rows, digest=digest)
    assert len(FeatureStore.open(large_rows)) == 20  # control: unseen without the digest
