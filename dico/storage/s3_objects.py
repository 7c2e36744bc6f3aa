"""Requests for single objects below an s3:// prefix, each tried again until its bytes are right.

Endpoint, region and credentials come from the usual AWS variables and files. boto3 alone accepts
wrong bytes and tries a 503 three times in a tenth of a second, so tries, deadlines and digests are
ours: each object carries the SHA-256 of its bytes, and every read is checked against it.
"""

import hashlib
import os
import re
import uuid
from base64 import b64encode
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, TypeVar

from dico.errors import ConfigError, DataError, DicoError
from dico.process.activity import DATA, activity
from dico.storage.retry import RetryPolicy, TransientFault, WrongBytes, retry
from dico.storage.s3_answers import (
    MISSING_CODES,
    body_of,
    check_bytes,
    client_error,
    code_of,
    translated,
)
from dico.storage.s3_client import open_client

T = TypeVar("T")
READ_SECONDS = 20.0
PART_BYTES = 32 << 20


class S3Objects:
    """Objects below ``s3://bucket/prefix``, one request at a time."""

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
    def client(self) -> Any:
        """boto3's client of this process."""
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3")
        return open_client(self._read_seconds, endpoint, os.getpid())

    def read_bytes(self, key: str, sha256: str = "") -> bytes:
        """All bytes of an object; wrong ones are fetched again at most three times."""

        def operation(_: int) -> bytes:
            response = self.client.get_object(Bucket=self.bucket, Key=self.path_of(key))
            data = body_of(response)
            check_bytes(data, response, sha256)
            return data

        return self.retry(operation, key)

    def read_range(self, key: str, start: int, num_bytes: int, etag: str = "") -> bytes:
        """Bytes from ``start`` on; with ``etag`` only of that version of the object."""
        if num_bytes <= 0:
            return b""

        def operation(_: int) -> bytes:
            condition = {"IfMatch": etag} if etag else {}
            response = self.client.get_object(
                Bucket=self.bucket,
                Key=self.path_of(key),
                Range=f"bytes={start}-{start + num_bytes - 1}",
                **condition,
            )
            data = body_of(response)
            told = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.get("ContentRange", ""))
            if told is None or int(told[1]) != start or int(told[2]) - start + 1 != len(data):
                raise WrongBytes("the answer is not the range that was asked for")
            if len(data) < num_bytes and int(told[2]) + 1 != int(told[3]):
                raise WrongBytes("the range is too short")
            return data

        return self.retry(operation, key)

    def write_bytes(self, key: str, data: bytes) -> None:
        """Writes an object whole."""

        def operation(_: int) -> None:
            self._put(key, data, hashlib.sha256(data).hexdigest())

        self.retry(operation, key)

    def create(self, key: str, data: bytes) -> bool:
        """Writes an object where none is; a try whose answer was lost is recognised as ours."""
        writer = uuid.uuid4().hex

        def operation(attempt: int) -> bool:
            digest = hashlib.sha256(data).hexdigest()
            try:
                self._put(key, data, digest, {"writer": writer}, IfNoneMatch="*")
            except client_error() as error:
                if code_of(error) not in ("PreconditionFailed", "412"):
                    raise
                return attempt > 0 and self._writer(key) == writer
            return True

        return self.retry(operation, key)

    def num_bytes(self, key: str) -> int:
        """Size of an object in bytes."""
        return int(self.required_head(key)["ContentLength"])

    def etag(self, key: str) -> str:
        """The tag that changes when the object changes; empty when there is none."""
        head = self.head(key)
        return str(head["ETag"]) if head else ""

    def head(self, key: str) -> dict[str, Any] | None:
        """What the store tells of an object; None where there is none."""

        def operation(_: int) -> dict[str, Any] | None:
            try:
                found = self.client.head_object(Bucket=self.bucket, Key=self.path_of(key))
            except client_error() as error:
                if code_of(error) in MISSING_CODES:
                    return None
                raise
            if "ETag" not in found:
                raise TransientFault("an answer without ETag, not from a store")
            return dict(found)

        return self.retry(operation, key)

    def required_head(self, key: str) -> dict[str, Any]:
        """What the store tells of an object that must be there."""
        head = self.head(key)
        if head is None:
            raise DataError(f"{self.name_of(key)}: no such object")
        return head

    def page(self, folder: str, token: str) -> dict[str, Any]:
        """A page of the listing of ``folder``, from ``token`` on."""

        def operation(_: int) -> dict[str, Any]:
            more = {"ContinuationToken": token} if token else {}
            page = self.client.list_objects_v2(Bucket=self.bucket, Prefix=folder, **more)
            if page.get("Name") != self.bucket:
                raise TransientFault("an answer that is no listing")
            return dict(page)

        return self.retry(operation, folder.removeprefix(f"{self.prefix}/"))

    def delete_object(self, key: str) -> None:
        """Removes one object; nothing happens where there is none."""
        self.retry(
            lambda _: self.client.delete_object(Bucket=self.bucket, Key=self.path_of(key)), key
        )

    @activity(DATA)
    def retry(self, operation: Callable[[int], T], key: str) -> T:
        """Runs ``operation(attempt)`` on ``key`` until it returns, by the store's policy."""

        def attempted(attempt: int) -> T:
            try:
                return operation(attempt)
            except (DicoError, TransientFault):
                raise
            except Exception as error:
                where = self.name_of(key)
                raise translated(error, where, self.bucket, lambda: self.client) from None

        return retry(attempted, self.name_of(key), self.policy)

    def path_of(self, key: str) -> str:
        """The key in the bucket."""
        if key.startswith("/") or ".." in PurePosixPath(key).parts:
            raise ConfigError(f"{key!r}: a key is a relative path without ..")
        return f"{self.prefix}/{key}" if self.prefix and key else key or self.prefix

    def name_of(self, key: str) -> str:
        """The URI of an object, for messages."""
        return f"s3://{self.bucket}/{self.path_of(key)}"

    def _put(
        self,
        key: str,
        data: bytes,
        digest: str,
        metadata: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        self.client.put_object(
            Bucket=self.bucket,
            Key=self.path_of(key),
            Body=data,
            ContentMD5=md5_of(data),
            Metadata={"sha256": digest, **(metadata or {})},
            **more,
        )

    def _writer(self, key: str) -> str:
        return str(self.required_head(key).get("Metadata", {}).get("writer", ""))


def md5_of(data: bytes) -> str:
    """MD5 in base64, by which a store checks what it received."""
    return b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
