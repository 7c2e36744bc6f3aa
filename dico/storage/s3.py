"""A store below an s3:// prefix, for Amazon's S3 and servers that speak its protocol.

Endpoint, region and credentials come from the usual AWS variables and files. boto3 alone accepts
wrong bytes and tries a 503 three times in a tenth of a second, so tries, deadlines and digests are
ours: each object carries the SHA-256 of its bytes, and every read is checked against it.
"""

import hashlib
import os
import re
import threading
import uuid
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlsplit

from dico.errors import (
    AccessError,
    ConfigError,
    DataError,
    DicoError,
    StorageError,
    TryAgainError,
)
from dico.process.activity import DATA, activity
from dico.storage.digests import DIGESTS, parse_digests, write_digests
from dico.storage.files import atomic_folder, atomic_write, sha256_file
from dico.storage.retry import RetryPolicy, TransientFault, WrongBytes, retry
from dico.storage.store import Keys

T = TypeVar("T")
Parts = list[dict[str, Any]]
CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
PART_BYTES = 32 << 20
NUM_THREADS = 8
_ACCESS_CODES = {
    "403", "AccessDenied", "AllAccessDisabled", "ExpiredToken", "ExpiredTokenException", "Forbidden",
    "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch", "TokenRefreshRequired",
    "AuthorizationHeaderMalformed", "AccountProblem", "401", "Unauthorized",
}  # fmt: skip
_MISSING_CODES = {"404", "NoSuchKey", "NotFound"}
_TRANSIENT_CODES = {
    "429", "SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "InternalError",
    "ServiceUnavailable", "RequestTimeTooSkewed", "ConditionalRequestConflict", "OperationAborted",
    "BadDigest", "IncompleteBody", "TooManyRequests", "408",
}  # fmt: skip
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


class S3Store:
    """Objects below ``s3://bucket/prefix``; see `dico.storage.store.Store`."""

    def __init__(
        self,
        uri: str,
        policy: RetryPolicy | None = None,
        read_seconds: float = READ_SECONDS,
        part_bytes: int = PART_BYTES,
    ) -> None:
        bucket, _, prefix = uri.removeprefix("s3://").strip("/").partition("/")
        if not bucket:
            raise ConfigError(f"{uri}: no bucket; write s3://bucket/prefix")
        self.bucket, self.prefix = bucket, prefix
        self.uri = f"s3://{bucket}/{prefix}".rstrip("/")
        self.policy = policy or RetryPolicy()
        self.part_bytes = part_bytes
        self._read_seconds = read_seconds

    @property
    def _client(self) -> Any:
        with _CLIENTS:
            endpoint = os.environ.get("AWS_ENDPOINT_URL_S3")
            return _make_client(self._read_seconds, endpoint, os.getpid())

    def read_bytes(self, key: str, sha256: str = "") -> bytes:
        """All bytes of an object; wrong ones are fetched again at most three times."""

        def operation(_: int) -> bytes:
            response = self._client.get_object(Bucket=self.bucket, Key=self._key(key))
            data = _body(response)
            _check(data, response, sha256)
            return data

        return self._retry(operation, key)

    def read_range(self, key: str, start: int, num_bytes: int, etag: str = "") -> bytes:
        """Bytes from ``start`` on; with ``etag`` only of that version of the object."""
        if num_bytes <= 0:
            return b""

        def operation(_: int) -> bytes:
            condition = {"IfMatch": etag} if etag else {}
            response = self._client.get_object(
                Bucket=self.bucket,
                Key=self._key(key),
                Range=f"bytes={start}-{start + num_bytes - 1}",
                **condition,
            )
            data = _body(response)
            told = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.get("ContentRange", ""))
            if told is None or int(told[1]) != start or int(told[2]) - start + 1 != len(data):
                raise WrongBytes("the answer is not the range that was asked for")
            if len(data) < num_bytes and int(told[2]) + 1 != int(told[3]):
                raise WrongBytes("the range is too short")
            return data

        return self._retry(operation, key)

    def write_bytes(self, key: str, data: bytes) -> None:
        """Writes an object whole."""

        def operation(_: int) -> None:
            self._put(key, data, hashlib.sha256(data).hexdigest())

        self._retry(operation, key)

    def create(self, key: str, data: bytes) -> bool:
        """Writes an object where none is; a try whose answer was lost is recognised as ours."""
        writer = uuid.uuid4().hex

        def operation(attempt: int) -> bool:
            digest = hashlib.sha256(data).hexdigest()
            try:
                self._put(key, data, digest, {"writer": writer}, IfNoneMatch="*")
            except _client_error() as error:
                if _code(error) not in ("PreconditionFailed", "412"):
                    raise
                return attempt > 0 and self._writer(key) == writer
            return True

        return self._retry(operation, key)

    def exists(self, key: str) -> bool:
        """Whether an object, or a published folder, is there."""
        return any(self._head(one) is not None for one in (key, f"{key}/{DIGESTS}"))

    def num_bytes(self, key: str) -> int:
        """Size of an object in bytes."""
        return int(self._required_head(key)["ContentLength"])

    def etag(self, key: str) -> str:
        """The tag that changes when the object changes; empty when there is none."""
        head = self._head(key)
        return str(head["ETag"]) if head else ""

    def list(self, prefix: str = "") -> Keys:
        """Keys of all objects below the folder ``prefix``, relative to the store, sorted."""
        base = f"{self.prefix}/" if self.prefix else ""
        folder = self._key(prefix).rstrip("/") + "/" if prefix else base
        found: Keys = []
        token = ""
        while True:
            page = self._list_page(folder, token)
            found += [item["Key"].removeprefix(base) for item in page.get("Contents", [])]
            if not page.get("IsTruncated"):
                return sorted(key for key in found if key and not key.endswith("/"))
            token = page["NextContinuationToken"]

    def fetch(self, key: str, local: str | Path, digest: str = "") -> Path:
        """Copies an object or a published folder to ``local``, all bytes checked."""
        local = Path(local)
        if self._head(key) is not None:
            with atomic_write(local) as temporary:
                self._download(key, temporary, digest)
            return local
        if self._head(f"{key}/{DIGESTS}") is None:
            raise DataError(f"{self._name(key)}: no such object and no published folder")
        data = self.read_bytes(f"{key}/{DIGESTS}", digest)
        for _ in range(self.policy.max_fetches):
            try:
                self._fetch_files(key, local, data)
                return local
            except DataError:
                now = self.read_bytes(f"{key}/{DIGESTS}", digest)
                if now == data:
                    raise
                data = now  # another publication came in between
        raise TryAgainError(f"{self._name(key)}: published again and again while it was fetched")

    def publish(self, folder: str | Path, key: str) -> str:
        """Uploads a folder; it is there once its digests.json, the last object, is."""
        digest = write_digests(folder)
        names = sorted(
            p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file()
        )
        names.remove(DIGESTS)
        with ThreadPoolExecutor(NUM_THREADS) as pool:
            list(pool.map(lambda name: self.upload(Path(folder) / name, f"{key}/{name}"), names))
        self.write_bytes(f"{key}/{DIGESTS}", (Path(folder) / DIGESTS).read_bytes())
        for old in self.list(key):
            if old.removeprefix(f"{key}/") not in {*names, DIGESTS}:
                self._delete_object(old)
        return digest

    def upload(self, local: Path, key: str) -> None:
        """Uploads one file, in parts when it is large."""
        if local.stat().st_size <= self.part_bytes:
            self.write_bytes(key, local.read_bytes())
        else:
            self._upload_parts(local, key)

    def delete(self, key: str) -> None:
        """Removes an object or a folder; a published folder loses its digests.json first."""
        self._delete_object(f"{key}/{DIGESTS}")
        self._delete_object(key)
        for one in self.list(key):
            self._delete_object(one)

    @activity(DATA)
    def _retry(self, operation: Callable[[int], T], key: str) -> T:
        def translated(attempt: int) -> T:
            try:
                return operation(attempt)
            except (DicoError, TransientFault):
                raise
            except Exception as error:
                raise self._translated(error, key) from None

        return retry(translated, self._name(key), self.policy)

    def _translated(self, error: Exception, key: str) -> Exception:
        """The error as ours: transient, or final with one line that names bucket and key."""
        from botocore import exceptions

        where = self._name(key)
        if isinstance(error, exceptions.ClientError):
            return _from_answer(error, where, self.bucket, self._addressing())
        if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)):
            return AccessError(f"{where}: no credentials; set AWS_ACCESS_KEY_ID and "
                               "AWS_SECRET_ACCESS_KEY, or a role")  # fmt: skip
        if isinstance(error, exceptions.CredentialRetrievalError | exceptions.TokenRetrievalError):
            return AccessError(f"{where}: credentials could not be had; log in or check the role")
        if isinstance(error, exceptions.FlexibleChecksumError):
            return WrongBytes("the answer's checksum is wrong")
        if isinstance(error, exceptions.ParamValidationError | ValueError):
            return ConfigError(f"{where}: not a bucket and key that S3 takes")
        transient = (exceptions.BotoCoreError, OSError)
        if isinstance(error, transient) or type(error).__module__.startswith(("urllib3", "http")):
            return TransientFault(type(error).__name__)
        return error

    def _addressing(self) -> str:
        """How a store that is not Amazon's is addressed, since a wrong way is answered by 403 too."""
        meta = self._client.meta
        host = urlsplit(str(meta.endpoint_url)).hostname or ""
        if host.endswith("amazonaws.com"):
            return ""
        style = (meta.config.s3 or {}).get("addressing_style", "auto")
        return (
            f"; if they are right: {host} was asked in {style} style, and a store that takes another "
            "answers so too; set addressing_style under s3 in the AWS config file"
        )

    def _put(
        self,
        key: str,
        data: bytes,
        digest: str,
        metadata: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        self._client.put_object(
            Bucket=self.bucket,
            Key=self._key(key),
            Body=data,
            ContentMD5=b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode(),
            Metadata={"sha256": digest, **(metadata or {})},
            **more,
        )

    def _writer(self, key: str) -> str:
        return str(self._required_head(key).get("Metadata", {}).get("writer", ""))

    def _head(self, key: str) -> dict[str, Any] | None:
        def operation(_: int) -> dict[str, Any] | None:
            try:
                found = self._client.head_object(Bucket=self.bucket, Key=self._key(key))
            except _client_error() as error:
                if _code(error) in _MISSING_CODES:
                    return None
                raise
            if "ETag" not in found:
                raise TransientFault("an answer without ETag, not from a store")
            return dict(found)

        return self._retry(operation, key)

    def _required_head(self, key: str) -> dict[str, Any]:
        head = self._head(key)
        if head is None:
            raise DataError(f"{self._name(key)}: no such object")
        return head

    def _list_page(self, folder: str, token: str) -> dict[str, Any]:
        def operation(_: int) -> dict[str, Any]:
            more = {"ContinuationToken": token} if token else {}
            page = self._client.list_objects_v2(Bucket=self.bucket, Prefix=folder, **more)
            if page.get("Name") != self.bucket:
                raise TransientFault("an answer that is no listing")
            return dict(page)

        return self._retry(operation, folder.removeprefix(f"{self.prefix}/"))

    def _download(self, key: str, path: Path, sha256: str = "") -> None:
        """Fetches an object by ranges of one version; the whole is checked at the end."""

        def operation(_: int) -> None:
            head = self._required_head(key)
            size, etag = int(head["ContentLength"]), str(head["ETag"])
            starts = range(0, size, self.part_bytes)
            with open(path, "wb") as file, ThreadPoolExecutor(NUM_THREADS // 2) as pool:
                for low in range(0, len(starts), NUM_THREADS):
                    wave = starts[low : low + NUM_THREADS]
                    for data in pool.map(
                        lambda start: self.read_range(key, start, self.part_bytes, etag), wave
                    ):
                        file.write(data)
            _check_file(path, head, sha256)

        self._retry(operation, key)

    def _fetch_files(self, key: str, local: Path, data: bytes) -> None:
        """Copies the files that ``data``, a digests.json, names."""
        files = parse_digests(data, self._name(f"{key}/{DIGESTS}"))
        with atomic_folder(local) as temporary, ThreadPoolExecutor(NUM_THREADS) as pool:

            def one(name: str) -> None:
                path = temporary / name
                path.parent.mkdir(parents=True, exist_ok=True)
                self._download(f"{key}/{name}", path, str(files[name]["sha256"]))

            list(pool.map(one, files))
            (temporary / DIGESTS).write_bytes(data)

    def _upload_parts(self, local: Path, key: str) -> None:
        digest, size = sha256_file(local), local.stat().st_size
        part_bytes = max(self.part_bytes, 5 << 20, -(-size // 9_000))
        name = {"Bucket": self.bucket, "Key": self._key(key)}
        begin = self._retry(
            lambda _: self._client.create_multipart_upload(**name, Metadata={"sha256": digest}), key
        )
        upload = {**name, "UploadId": begin["UploadId"]}
        try:
            with ThreadPoolExecutor(NUM_THREADS // 2) as pool:
                starts = range(0, size, part_bytes)
                tags = pool.map(
                    lambda n: self._upload_part(local, key, upload, n, part_bytes),
                    range(1, len(starts) + 1),
                )
                parts = [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]
            self._complete(key, upload, parts, digest)
        except BaseException:
            self._abort(upload)
            raise

    def _upload_part(
        self, local: Path, key: str, upload: dict[str, str], number: int, part_bytes: int
    ) -> str:
        with open(local, "rb") as file:
            file.seek((number - 1) * part_bytes)
            data = file.read(part_bytes)
        md5 = b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        answer = self._retry(
            lambda _: self._client.upload_part(
                **upload, PartNumber=number, Body=data, ContentMD5=md5
            ),
            key,
        )
        return str(answer["ETag"])

    def _complete(self, key: str, upload: dict[str, str], parts: Parts, digest: str) -> None:
        def operation(attempt: int) -> None:
            try:
                self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
            except _client_error() as error:
                if _code(error) != "NoSuchUpload" or attempt == 0:
                    raise  # NoSuchUpload on a later try: the first was done, its answer lost
            if self._required_head(key).get("Metadata", {}).get("sha256") != digest:
                raise TransientFault("the upload is not there yet")

        self._retry(operation, key)

    def _abort(self, upload: dict[str, str]) -> None:
        try:
            self._client.abort_multipart_upload(**upload)
        except Exception:  # the upload has failed already; its parts expire by the bucket's rules
            return

    def _delete_object(self, key: str) -> None:
        self._retry(
            lambda _: self._client.delete_object(Bucket=self.bucket, Key=self._key(key)), key
        )

    def _key(self, key: str) -> str:
        if key.startswith("/") or ".." in PurePosixPath(key).parts:
            raise ConfigError(f"{key!r}: a key is a relative path without ..")
        return f"{self.prefix}/{key}" if self.prefix and key else key or self.prefix

    def _name(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._key(key)}"


_CLIENTS = threading.Lock()


@cache
def _make_client(read_seconds: float, endpoint: str | None, _process: int) -> Any:
    """One client per process and setting; boto3's clients may be shared by threads.

    A forked worker makes its own: the connections of its parent are not for two.
    """
    import boto3
    from botocore.config import Config

    session = boto3.session.Session()
    settings: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": read_seconds,
        "retries": {"total_max_attempts": 1},
        "max_pool_connections": 4 * NUM_THREADS,
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_supported",
    }
    region = session.region_name or "us-east-1"
    client = session.client(
        "s3", region_name=region, endpoint_url=endpoint, config=Config(**settings)
    )
    chosen = (client.meta.config.s3 or {}).get("addressing_style")
    if chosen or "amazonaws.com" in client.meta.endpoint_url:
        return client  # the user's own addressing_style, from the AWS config file
    path_style = Config(**settings, s3={"addressing_style": "path"})
    return session.client("s3", region_name=region, endpoint_url=endpoint, config=path_style)


def _client_error() -> Any:
    from botocore.exceptions import ClientError

    return ClientError


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _from_answer(error: Any, where: str, bucket: str, addressing: str) -> Exception:
    """A store's refusal; its message is not repeated, since it may hold parts of the request."""
    code = _code(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "NoSuchBucket":
        return DataError(f"{where}: there is no bucket {bucket}; check the name and the endpoint")
    if code in ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"):
        return AccessError(f"{where}: the session token has expired; get a new one")
    if code in _ACCESS_CODES or status in (401, 403):
        return AccessError(
            f"{where}: access denied ({code}); check the key's rights on this bucket{addressing}"
        )
    if code in _MISSING_CODES or status == 404:
        return DataError(f"{where}: no such object")
    if code in _TRANSIENT_CODES or status >= 500 or status in (200, 408, 412, 429):
        return TransientFault(f"{code or status}")
    return StorageError(f"{where}: the store refused ({code or status})")


def _body(response: Any) -> bytes:
    if "ETag" not in response:
        raise WrongBytes("an answer without ETag, not from a store")
    data: bytes = response["Body"].read()
    if len(data) != response.get("ContentLength", len(data)):
        raise WrongBytes(f"{len(data)} bytes of {response['ContentLength']}")
    return data


def _check(data: bytes, response: Any, sha256: str) -> None:
    """Compares bytes with what is known: the expected digest, the object's own, or its MD5 tag."""
    own = response.get("Metadata", {}).get("sha256", "")
    digest = hashlib.sha256(data).hexdigest() if sha256 or own else ""
    if sha256 and digest != sha256:
        raise WrongBytes("not the bytes expected")
    if own and digest != own:
        raise WrongBytes("not the bytes that were written")
    tag = _MD5.fullmatch(str(response.get("ETag", "")))
    plain = response.get("ServerSideEncryption") in (None, "AES256")
    if own or sha256 or not tag or not plain:
        return
    if hashlib.md5(data, usedforsecurity=False).hexdigest() != tag[1]:
        raise WrongBytes("not the bytes of its tag")


def _check_file(path: Path, head: dict[str, Any], sha256: str) -> None:
    if path.stat().st_size != head["ContentLength"]:
        raise WrongBytes(f"{path.stat().st_size} bytes of {head['ContentLength']}")
    own = head.get("Metadata", {}).get("sha256", "")
    tag = _MD5.fullmatch(str(head.get("ETag", "")))
    if sha256 or own:
        digest = sha256_file(path)
        if (sha256 and digest != sha256) or (own and digest != own):
            raise WrongBytes("not the bytes expected")
    elif tag and head.get("ServerSideEncryption") in (None, "AES256"):
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        if found.hexdigest() != tag[1]:
            raise WrongBytes("not the bytes of its tag")
