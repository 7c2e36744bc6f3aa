"""A dataset, its shards and its features in an object store are those of a local folder."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from dico.data.features import FeatureSpec, FeatureStore, FeatureWriter
from dico.data.images import load_image
from dico.data.manifest import read_manifest
from dico.data.shards import write_shards
from dico.data.validation import ValidationConfig, validate
from dico.errors import AccessError, DigestError
from dico.storage import open_store
from tests.data.pictures import write_dataset


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


def test_a_missing_remote_picture_is_a_finding(endpoint: str, tmp_path: Path) -> None:
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
    from dico.storage import s3

    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    s3._make_client.cache_clear()
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
        s3._make_client.cache_clear()


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
    with pytest.raises(DigestError):
        FeatureStore.open(uri)
