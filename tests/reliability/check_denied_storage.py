"""B3: a store that refuses is one line within 10 s that names bucket and key, and no secret."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dico.errors import AccessError, DataError, DicoError
from dico.storage import s3_client
from dico.storage.s3 import S3Store
from tests.reliability.result import CONTROL, Result, count, in_time
from tests.storage.conftest import KEYS
from tests.storage.faulty_proxy import FaultyProxy

IDS = ("B3",)
REFUSALS: dict[str, tuple[int, type[DicoError]]] = {
    "AccessDenied": (403, AccessError),
    "InvalidAccessKeyId": (403, AccessError),
    "SignatureDoesNotMatch": (403, AccessError),
    "ExpiredToken": (400, AccessError),
    "NoSuchBucket": (404, DataError),
    "NoSuchKey": (404, DataError),
}
SECRET = KEYS["AWS_SECRET_ACCESS_KEY"]
TOKEN = "FwoGZXIvYXdzEXAMPLETOKEN"


def check(full: bool) -> list[Result]:  # all of it takes a few seconds
    before = dict(os.environ)
    os.environ.update({**KEYS, "AWS_SESSION_TOKEN": TOKEN, "AWS_DEFAULT_REGION": "us-east-1"})
    s3_client.make_client.cache_clear()
    try:
        with tempfile.TemporaryDirectory(prefix="denied-") as temporary:
            calls = _calls(Path(temporary))
            plain = count("B3", "", _plain(calls["read"]))
            return [
                count("B3", f"{', '.join(REFUSALS)}: refused at once", _refused(calls),
                      f"by {', '.join(calls)}"),
                Result("B3", f"{CONTROL}the store's own message would show secrets",
                       int(plain.passed == 0), 1, plain.seconds),
            ]  # fmt: skip
    finally:
        for name in {*os.environ} - {*before}:
            del os.environ[name]
        os.environ.update(before)
        s3_client.make_client.cache_clear()


def _calls(folder: Path) -> dict[str, Callable[[], object]]:
    (folder / "file").write_bytes(b"x")
    store = S3Store("s3://dico-tests/p")
    return {
        "read": lambda: store.read_bytes("k"),
        "range": lambda: store.read_range("k", 0, 5),
        "write": lambda: store.write_bytes("k", b"x"),
        "create": lambda: store.create("k", b"x"),
        "upload": lambda: store.upload(folder / "file", "k"),
        "fetch": lambda: store.fetch("k", folder / "out"),
        "list": lambda: store.list("k"),
    }


class _Refusing(FaultyProxy):
    """A server that answers every request with one refusal, which repeats the request's secrets."""

    def __init__(self) -> None:
        super().__init__("", (), 0.0)
        self.refuse("AccessDenied", 403)
        handler = self._server.RequestHandlerClass
        handler._forward = lambda _handler, _body: self.answer  # type: ignore[attr-defined]

    def refuse(self, code: str, status: int) -> None:
        text = f"<Error><Code>{code}</Code><Message>{SECRET} {TOKEN}</Message></Error>"
        self.answer = status, {"Content-Type": "application/xml"}, text.encode()
        self.counts.clear()


def _refused(calls: dict[str, Callable[[], object]]) -> Iterator[bool]:
    with _Refusing() as proxy:
        os.environ["AWS_ENDPOINT_URL_S3"] = proxy.url
        for code, (status, kind) in REFUSALS.items():
            for name, call in calls.items():
                proxy.refuse(code, status)
                begun = time.process_time()  # of a busy machine, the time that is ours
                text = _error(call, kind, name == "fetch")
                quick = in_time(time.process_time() - begun, 10) and proxy.counts["requests"] <= 2
                secret = SECRET in text or TOKEN in text or "\n" in text
                yield "s3://dico-tests/p/k" in text and quick and not secret


def _error(call: Callable[[], object], kind: type[DicoError], by_head: bool) -> str:
    """The text of the error that a call ends with, if it is of the right kind."""
    try:
        call()
    except DicoError as error:
        # a HEAD has no body to say why: 400 and 404 are all that is known
        return str(error) if by_head or isinstance(error, kind) else ""
    return ""


def _plain(call: Callable[[], object]) -> Iterator[bool]:
    """Whether boto3's own message keeps the secret."""
    from botocore.exceptions import ClientError

    with _Refusing() as proxy:
        os.environ["AWS_ENDPOINT_URL_S3"] = proxy.url
        client = s3_client.make_client(5.0, proxy.url, os.getpid())
        try:
            client.get_object(Bucket="dico-tests", Key="p/k")
        except ClientError as error:
            yield SECRET not in str(error)
