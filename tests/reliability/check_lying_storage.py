"""B2: wrong bytes of a store never come through, and are fetched again at most three times."""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from dico.errors import DataError
from dico.features import format as feature_format
from dico.features.store import FeatureSpec, FeatureStore, FeatureWriter
from dico.images.load import read_image
from dico.storage import s3_objects
from dico.storage.retry import RetryPolicy
from dico.storage.s3 import S3Store
from tests.reliability.result import CONTROL, Result, count
from tests.reliability.s3_server import BUCKET, s3_server
from tests.storage.conftest import make_client
from tests.storage.faulty_proxy import LIES, FaultyProxy

IDS = ("B2",)
QUICK = RetryPolicy(max_attempts=18, base_seconds=0.01, max_pause_seconds=0.02)
SPEC = FeatureSpec("tower", {"tokens": ((4, 64), "float16")})
TRUE = b"the true bytes" * 50
Read = Callable[[], object]


def check(full: bool) -> list[Result]:
    times = 5 if full else 1
    # What is small here stands for what is large: rows that are fetched by their range.
    large, feature_format.LARGE_ROW_BYTES = feature_format.LARGE_ROW_BYTES, 512
    s3_objects.RetryPolicy = lambda: QUICK  # type: ignore[assignment,misc]
    try:
        with tempfile.TemporaryDirectory(prefix="lies-") as temporary, s3_server() as endpoint:
            folder = Path(temporary)
            reads = _reads(folder, endpoint)
            begun = time.monotonic()
            taken = _taken_by_boto3(endpoint)
            note = f"{', '.join(reads)}; with and without checksum headers"
            return [
                count("B2", "wrong bytes at every read: detected after at most 3 more reads",
                      _always(endpoint, reads, times), note),
                count("B2", "wrong bytes at some reads: the right bytes in the end, or an error",
                      _sometimes(endpoint, reads, 4 * times)),
                count("B2", "stale versions are detected where the digest is known", _stale(folder)),
                Result("B2", f"{CONTROL}boto3 alone accepts flipped bits", taken, 1,
                       time.monotonic() - begun),
            ]  # fmt: skip
    finally:
        feature_format.LARGE_ROW_BYTES = large
        s3_objects.RetryPolicy = RetryPolicy  # type: ignore[misc]


def _store(folder: Path) -> S3Store:
    return S3Store(f"s3://{BUCKET}/{folder.name}")


def _reads(folder: Path, endpoint: str) -> dict[str, Read]:
    """Every way in which bytes come from a store; each reads anew."""
    store, digest = _store(folder), hashlib.sha256(TRUE).hexdigest()
    store.write_bytes("ours", TRUE)
    make_client(endpoint).put_object(Bucket=BUCKET, Key=f"{folder.name}/theirs", Body=TRUE)
    (folder / "model").mkdir()
    (folder / "model" / "weights").write_bytes(TRUE)
    model = store.publish(folder / "model", "model")
    os.environ["DICO_CACHE"] = str(folder / "writer")
    uri, key = f"{store.uri}/features", hashlib.sha256(b"0").hexdigest()
    row = np.arange(1, 257, dtype=np.float16).reshape(4, 64)
    with FeatureWriter.open(uri, SPEC) as writer:
        writer.add(key, tokens=row)
        index = writer.close()
    member = f"{store.uri}/shard.tar#0+{len(TRUE)}:0.jpg"
    store.write_bytes("shard.tar", TRUE)
    numbers = iter(range(10**6))

    def features() -> bytes:
        os.environ["DICO_CACHE"] = str(folder / f"reader-{next(numbers)}")
        found = FeatureStore.open(uri, digest=index).read([key], "tokens")
        return TRUE if np.array_equal(found[0], row) else b""

    return {
        "our own object": lambda: store.read_bytes("ours"),
        "another program's object": lambda: store.read_bytes("theirs"),
        "a file": lambda: store.fetch("ours", folder / "out").read_bytes(),
        "a model": lambda: (store.fetch("model", folder / "m", model) / "weights").read_bytes(),
        "features": features,
        "an image in a tar": lambda: read_image(member, digest),
    }


def _always(endpoint: str, reads: dict[str, Read], times: int) -> Iterator[bool]:
    with _liar(endpoint) as proxy:
        for proxy.drop_checksums in (True, False) if times > 1 else (True,):
            for lie in LIES:
                for read in list(reads.values()) * times:
                    proxy.faults, before = (lie,), proxy.counts[lie]
                    yield _refused(read) and proxy.counts[lie] - before <= 4


def _sometimes(endpoint: str, reads: dict[str, Read], times: int) -> Iterator[bool]:
    with _liar(endpoint) as proxy:
        proxy.faults, proxy.share, proxy.drop_checksums = LIES, 0.2, True
        for read in reads.values():
            for _ in range(times):
                try:
                    yield read() == TRUE
                except DataError:
                    yield True  # four lies one after another are refused, which is right too


@contextmanager
def _liar(endpoint: str) -> Iterator[FaultyProxy]:
    """A proxy that lies whenever it is asked, and that the environment names."""
    with FaultyProxy(endpoint, (), 1.0) as proxy:
        proxy.only = lambda method, _: method == "GET"
        os.environ["AWS_ENDPOINT_URL_S3"] = proxy.url
        try:
            yield proxy
        finally:
            os.environ["AWS_ENDPOINT_URL_S3"] = endpoint


def _refused(read: Read) -> bool:
    try:
        read()
    except DataError:
        return True
    return False


def _stale(folder: Path) -> Iterator[bool]:
    """An older version of an object, a model and a feature store in the place of the new one."""
    store = _store(folder)
    new = hashlib.sha256(b"new").hexdigest()
    store.write_bytes("versioned", b"old")
    yield _refused(lambda: store.read_bytes("versioned", new))
    yield _refused(lambda: store.fetch("versioned", folder / "out", new))
    (folder / "model" / "weights").write_bytes(b"new")
    digest = store.publish(folder / "model", "second")
    (folder / "model" / "weights").write_bytes(b"old")
    store.publish(folder / "model", "second")
    yield _refused(lambda: store.fetch("second", folder / "m", digest))
    os.environ["DICO_CACHE"] = str(folder / "writer")
    uri = f"{store.uri}/features"
    old = store.read_bytes(f"features/{feature_format.INDEX}")
    with FeatureWriter.open(uri, SPEC) as writer:
        writer.add(hashlib.sha256(b"1").hexdigest(), tokens=np.ones((4, 64), np.float16))
        digest = writer.close()
    for name in (feature_format.INDEX, feature_format.index_name(digest)):
        store.write_bytes(f"features/{name}", old)
    os.environ["DICO_CACHE"] = str(folder / "third")
    yield _refused(lambda: FeatureStore.open(uri, digest=digest))


def _taken_by_boto3(endpoint: str) -> int:
    with FaultyProxy(endpoint, ("flipped",), 1.0) as proxy:
        proxy.drop_checksums = True
        client = make_client(endpoint)
        client.put_object(Bucket=BUCKET, Key="plain", Body=TRUE)
        answer = make_client(proxy.url).get_object(Bucket=BUCKET, Key="plain")
        return int(answer["Body"].read() != TRUE)
