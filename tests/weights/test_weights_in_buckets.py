"""Weights that a name of s3:// means: a file, a folder, a folder of ours; kept by their content."""

import pytest

from dico.errors import ConfigError
from dico.storage import open_store, sha256_file
from dico.weights.keeping import at_hand, keep, resolve
from tests.storage.conftest import endpoint, make_client, moto_server  # noqa: F401
from tests.weights.test_encoders import transformers_clip

BUCKET = "dico-tests"


@pytest.fixture
def pin(tmp_path):
    store = open_store(str(tmp_path / "store"))
    return lambda name: keep(resolve(name, "evaluator.weights", store), store)


@pytest.fixture
def put(endpoint):  # noqa: F811
    client = make_client(endpoint)
    return lambda key, path: client.upload_file(str(path), BUCKET, key)


def test_a_folder_in_a_bucket_is_an_encoder_by_its_content(tmp_path, put, pin):
    from dico.weights.encoders import read_encoder

    transformers_clip(tmp_path / "clip", 1)
    for path in (tmp_path / "clip").iterdir():
        put(f"models/clip/{path.name}", path)
    first = pin(f"s3://{BUCKET}/models/clip")
    assert first.uri.startswith(str(tmp_path / "store"))
    with at_hand(first) as folder:
        kept = read_encoder(folder).tensors
    expected = read_encoder(tmp_path / "clip").tensors
    assert kept.keys() == expected.keys()
    assert pin(f"s3://{BUCKET}/models/clip") == first
    (tmp_path / "note.txt").write_text("another file")
    put("models/clip/note.txt", tmp_path / "note.txt")
    assert pin(f"s3://{BUCKET}/models/clip").sha256 != first.sha256


def test_a_file_in_a_bucket_is_pinned_by_its_bytes(tmp_path, put, pin):
    (tmp_path / "weights.pth").write_bytes(b"any bytes")
    put("pac/clip_ViT-B-32.pth", tmp_path / "weights.pth")
    found = pin(f"s3://{BUCKET}/pac/clip_ViT-B-32.pth")
    assert found.sha256 == sha256_file(tmp_path / "weights.pth")
    with at_hand(found) as file:
        assert file.read_bytes() == b"any bytes"


def test_a_published_folder_stays_in_its_bucket(tmp_path, put, pin):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    open_store(f"s3://{BUCKET}").publish(tmp_path / "model", "evaluators/one")
    found = pin(f"s3://{BUCKET}/evaluators/one")
    assert found.uri == f"s3://{BUCKET}/evaluators/one"
    with at_hand(found) as folder:
        assert (folder / "config.json").read_text() == "{}"


def test_nothing_there_is_said(pin, endpoint):  # noqa: F811
    with pytest.raises(ConfigError, match=f"s3://{BUCKET}/nothing: nothing is there"):
        pin(f"s3://{BUCKET}/nothing")
