"""B1 to B3: an S3 store that fails, lies or refuses; and what a store must do when all is well."""

import threading
from pathlib import Path

import pytest

from dico.errors import AccessError, DataError, DicoError, DigestError, TryAgainError
from dico.storage import open_store, verify_digests
from dico.storage.retry import RetryPolicy
from dico.storage.s3 import S3Store
from tests.storage.conftest import make_client, use_endpoint
from tests.storage.faulty_proxy import FAULTS, LIES, FaultyProxy

QUICK = RetryPolicy(max_attempts=14, base_seconds=0.01, max_pause_seconds=0.05)
PART = 5 << 20


def store_at(name: str, policy: RetryPolicy = QUICK) -> S3Store:
    return S3Store(f"s3://dico-tests/{name}", policy, read_seconds=1.0, part_bytes=PART)


def folder_of(path: Path, num_files: int = 6) -> Path:
    (path / "deep").mkdir(parents=True)
    for index in range(num_files):
        (path / "deep" / f"{index}.bin").write_bytes(bytes([index]) * (1000 + index))
    (path / "empty").write_bytes(b"")
    return path


def test_objects_are_written_read_listed_and_deleted(endpoint: str) -> None:
    store = open_store("s3://dico-tests/plain")
    store.write_bytes("a/x.bin", b"hello")
    store.write_bytes("b", b"")
    assert store.read_bytes("a/x.bin") == b"hello"
    assert store.read_bytes("b") == b""
    assert store.read_range("a/x.bin", 1, 3) == b"ell"
    assert store.read_range("a/x.bin", 3, 100) == b"lo"
    assert store.list() == ["a/x.bin", "b"]
    assert store.list("a") == ["a/x.bin"]
    assert store.exists("b")
    assert not store.exists("c")
    assert store.etag("b") != store.etag("a/x.bin")
    store.delete("a")
    assert store.list() == ["b"]


def test_a_folder_is_published_whole_and_fetched_whole(endpoint: str, tmp_path: Path) -> None:
    store = store_at("models")
    digest = store.publish(folder_of(tmp_path / "in"), "m1")
    local = store.fetch("m1", tmp_path / "out", digest)
    verify_digests(local, digest)
    assert (local / "deep/3.bin").read_bytes() == bytes([3]) * 1003
    (tmp_path / "in/deep/3.bin").unlink()
    second = store.publish(tmp_path / "in", "m1")
    assert second != digest
    assert "m1/deep/3.bin" not in store.list("m1")
    with pytest.raises(DigestError):
        store.fetch("m1", tmp_path / "again", digest)


def test_an_unfinished_publication_is_not_there(endpoint: str, tmp_path: Path) -> None:
    store = store_at("models")
    store.write_bytes("m2/weights.bin", b"1234")
    assert not store.exists("m2")
    with pytest.raises(DataError, match="no published folder"):
        store.fetch("m2", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_large_files_go_in_parts(endpoint: str, tmp_path: Path) -> None:
    store = store_at("large")
    data = bytes(range(256)) * (PART // 256 * 2 + 77)
    (tmp_path / "in.bin").write_bytes(data)
    store.upload(tmp_path / "in.bin", "big.bin")
    assert store.fetch("big.bin", tmp_path / "out.bin").read_bytes() == data
    assert store.num_bytes("big.bin") == len(data)


def test_one_of_many_creators_wins(endpoint: str) -> None:
    """Conditional creation by 8 writers, 10 rounds."""
    store = store_at("race")
    for number in range(10):
        wins: list[int] = []

        def write(writer: int, number: int = number, wins: list[int] = wins) -> None:
            if store.create(f"v{number}", f"{writer}".encode()):
                wins.append(writer)

        threads = [threading.Thread(target=write, args=(w,)) for w in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(wins) == 1
        assert store.read_bytes(f"v{number}") == f"{wins[0]}".encode()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_faults_are_outlived(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, share: float
) -> None:
    """B1: the result is that of the run without faults."""
    source = folder_of(tmp_path / "in", 10)
    with FaultyProxy(endpoint, FAULTS, share, seed=7) as proxy:
        proxy.stall_seconds = 1.3
        use_endpoint(monkeypatch, proxy.url)
        store = store_at("faults")
        digest = store.publish(source, "m")
        local = store.fetch("m", tmp_path / "out", digest)
        wins = [store.create(f"v{i}", b"x") for i in range(6)]
        assert len(store.list("m")) == 12
    verify_digests(local, digest)
    assert wins == [True] * 6  # also where the answer to our own creation was lost
    assert sum(proxy.counts[fault] for fault in FAULTS) >= share * proxy.counts["requests"] / 3
    clean = make_client(endpoint)
    body = clean.get_object(Bucket="dico-tests", Key="faults/m/deep/3.bin")["Body"].read()
    assert body == bytes([3]) * 1003


def test_only_faults_end_in_try_again(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultyProxy(endpoint, ("503",), 1.0) as proxy:
        use_endpoint(monkeypatch, proxy.url)
        with pytest.raises(TryAgainError, match="s3://dico-tests/x/key: failed 14 times in"):
            store_at("x").read_bytes("key")
    assert proxy.counts["503"] == 14


@pytest.mark.parametrize("with_checksums", [True, False])
@pytest.mark.parametrize("lie", LIES)
def test_every_lie_is_detected(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, lie: str, with_checksums: bool
) -> None:
    """B2: wrong bytes never come through, and are fetched at most four times."""
    store_at("lies").write_bytes("ours.bin", b"the true bytes")
    make_client(endpoint).put_object(Bucket="dico-tests", Key="lies/theirs.bin", Body=b"also true")
    with FaultyProxy(endpoint, (lie,), 1.0) as proxy:
        proxy.drop_checksums = not with_checksums
        use_endpoint(monkeypatch, proxy.url)
        for key in ("ours.bin", "theirs.bin"):
            before = proxy.counts[lie]
            with pytest.raises(DigestError, match=key):
                store_at("lies").read_bytes(key)
            assert proxy.counts[lie] - before == 4
        proxy.faults = ()
        assert store_at("lies").read_bytes("ours.bin") == b"the true bytes"
        assert store_at("lies").read_bytes("theirs.bin") == b"also true"


def test_a_lie_now_and_then_is_fetched_again(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_at("lies").write_bytes("x", b"the true bytes")
    with FaultyProxy(endpoint, LIES, 0.3, seed=3) as proxy:
        use_endpoint(monkeypatch, proxy.url)
        assert {store_at("lies").read_bytes("x") for _ in range(20)} == {b"the true bytes"}
    assert sum(proxy.counts[lie] for lie in LIES) >= 3


def test_a_stale_version_is_detected_where_the_digest_is_known(
    endpoint: str, tmp_path: Path
) -> None:
    store = store_at("stale")
    first = store.publish(folder_of(tmp_path / "a"), "m")
    assert store.fetch("m", tmp_path / "out", first).is_dir()
    store.publish(folder_of(tmp_path / "b", 3), "m")
    with pytest.raises(DigestError):
        store.fetch("m", tmp_path / "out2", first)


def test_plain_boto3_takes_wrong_bytes(endpoint: str) -> None:
    """The negative control of B2."""
    make_client(endpoint).put_object(Bucket="dico-tests", Key="x", Body=b"the true bytes")
    with FaultyProxy(endpoint, ("flipped",), 1.0) as proxy:
        proxy.drop_checksums = True
        answer = make_client(proxy.url).get_object(Bucket="dico-tests", Key="x")
        assert answer["Body"].read() == b"uhe true bytes"


def refusal(endpoint: str, monkeypatch: pytest.MonkeyPatch, code: str, status: int) -> DicoError:
    """The error of a read that the server refuses with ``code``."""
    body = f"<Error><Code>{code}</Code><Message>key testsecret</Message></Error>".encode()
    with FaultyProxy(endpoint, (), 0.0) as proxy:
        handler = proxy._server.RequestHandlerClass
        monkeypatch.setattr(
            handler,
            "_forward",
            lambda self, data: (status, {"Content-Type": "application/xml"}, body),
        )
        use_endpoint(monkeypatch, proxy.url)
        with pytest.raises(DicoError) as error:
            store_at("p", RetryPolicy()).read_bytes("k")
        assert proxy.counts["requests"] <= 2
    return error.value


@pytest.mark.parametrize(
    ("code", "status", "kind", "says"),
    [
        ("AccessDenied", 403, AccessError, "access denied"),
        ("InvalidAccessKeyId", 403, AccessError, "access denied"),
        ("SignatureDoesNotMatch", 403, AccessError, "access denied"),
        ("ExpiredToken", 400, AccessError, "expired"),
        ("NoSuchKey", 404, DataError, "no such object"),
        ("NoSuchBucket", 404, DataError, "no bucket dico-tests"),
    ],
)
def test_a_refusal_is_one_line_at_once(
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    status: int,
    kind: type[DicoError],
    says: str,
) -> None:
    """B3: it names bucket and key, and no secret."""
    error = refusal(endpoint, monkeypatch, code, status)
    assert type(error) is kind
    assert says in str(error)
    assert "s3://dico-tests/p/k" in str(error)
    assert "testsecret" not in str(error)
    assert "\n" not in str(error)


def test_missing_credentials_are_named(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dico.storage import s3_client

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    s3_client.make_client.cache_clear()
    try:
        with pytest.raises(AccessError, match="no credentials; set AWS_ACCESS_KEY_ID"):
            store_at("p").read_bytes("k")
    finally:
        s3_client.make_client.cache_clear()
