"""Interprets a store's answers: an error of ours, another try, or bytes that are checked."""

import hashlib
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dico.errors import AccessError, ConfigError, DataError, StorageError
from dico.storage.retry import TransientFault, UnknownHost, WrongBytes

_ACCESS_CODES = {
    "403", "AccessDenied", "AllAccessDisabled", "ExpiredToken", "ExpiredTokenException", "Forbidden",
    "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch", "TokenRefreshRequired",
    "AuthorizationHeaderMalformed", "AccountProblem", "401", "Unauthorized",
}  # fmt: skip
MISSING_CODES = {"404", "NoSuchKey", "NotFound"}
_TRANSIENT_CODES = {
    "429", "SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "InternalError",
    "ServiceUnavailable", "RequestTimeTooSkewed", "ConditionalRequestConflict", "OperationAborted",
    "BadDigest", "IncompleteBody", "TooManyRequests", "408",
}  # fmt: skip
_ENDPOINTS = "AWS_ENDPOINT_URL_S3, the region and the network"
_PROXIES = "HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


def translated(error: Exception, where: str, bucket: str, client: Callable[[], Any]) -> Exception:
    """The error as ours: transient, or final with one line that names bucket and key."""
    from botocore import exceptions

    if isinstance(error, exceptions.ClientError):
        return _from_answer(error, where, bucket, _addressing(client()))
    if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)):
        return AccessError(f"{where}: no credentials; set AWS_ACCESS_KEY_ID and "
                           "AWS_SECRET_ACCESS_KEY, or a role")  # fmt: skip
    if isinstance(error, exceptions.CredentialRetrievalError | exceptions.TokenRetrievalError):
        return AccessError(f"{where}: credentials could not be obtained; log in or check the role")
    if isinstance(error, exceptions.FlexibleChecksumError):
        return WrongBytes("the answer's checksum is wrong")
    if isinstance(error, exceptions.ParamValidationError | ValueError):
        return ConfigError(f"{where}: S3 does not allow this name of a bucket or key")
    if isinstance(error, exceptions.EndpointConnectionError | exceptions.ProxyConnectionError):
        return _unreachable(error, bucket)
    transient = (exceptions.BotoCoreError, OSError)
    if isinstance(error, transient) or type(error).__module__.startswith(("urllib3", "http")):
        return TransientFault(type(error).__name__)
    return error


def _unreachable(error: Any, bucket: str) -> TransientFault:
    """Which host did not answer, and what to set where the bucket's name was put before it."""
    proxy = error.kwargs.get("proxy_url", "")
    host = urlsplit(str(proxy or error.kwargs.get("endpoint_url", ""))).hostname or "the store"
    told = f"{type(error).__name__}: no connection to {'the proxy ' if proxy else ''}{host}"
    is_unknown = _is_unknown(error)
    if host.startswith(f"{bucket}.") and not host.endswith("amazonaws.com"):
        told += (
            ", which is the bucket's name before the store's (virtual style); if there is no such "
            "host, set addressing_style = path under s3 in the AWS config file"
        )
    elif is_unknown:
        told += f", a host that is not known; check {_PROXIES if proxy else _ENDPOINTS}"
    return UnknownHost(told) if is_unknown else TransientFault(told)


def _is_unknown(error: BaseException | None) -> bool:
    """Whether a connection failed since no name server knows the host."""
    while error is not None:
        if isinstance(error, socket.gaierror):
            return True
        error = error.__cause__ or error.__context__ or getattr(error, "original_error", None)
    return False


def _addressing(client: Any) -> str:
    """How a store that is not Amazon's is addressed, since a wrong way is answered by 403 too."""
    meta = client.meta
    host = urlsplit(str(meta.endpoint_url)).hostname or ""
    if host.endswith("amazonaws.com"):
        return ""
    style = (meta.config.s3 or {}).get("addressing_style", "auto")
    return (
        f"; if they are right: {host} was addressed in {style} style, and a store that expects "
        "the other style gives the same answer; set addressing_style under s3 in the AWS config "
        "file"
    )


def client_error() -> Any:
    """The class of botocore's refusals."""
    from botocore.exceptions import ClientError

    return ClientError


def code_of(error: Any) -> str:
    """The code in a store's refusal."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _from_answer(error: Any, where: str, bucket: str, addressing: str) -> Exception:
    """A store's refusal; its message is not repeated, since it may hold parts of the request."""
    code = code_of(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "NoSuchBucket":
        return DataError(f"{where}: there is no bucket {bucket}; check the name and the endpoint")
    if code in ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"):
        return AccessError(f"{where}: the session token has expired; get a new one")
    if code in _ACCESS_CODES or status in (401, 403):
        return AccessError(
            f"{where}: access denied ({code}); check the key's rights on this bucket{addressing}"
        )
    if code in MISSING_CODES or status == 404:
        return DataError(f"{where}: no such object")
    if code in _TRANSIENT_CODES or status >= 500 or status in (200, 408, 412, 429):
        return TransientFault(f"{code or status}")
    return StorageError(f"{where}: the store refused ({code or status})")


def body_of(response: Any) -> bytes:
    """The bytes of an answer, all of those that it announced."""
    if "ETag" not in response:
        raise WrongBytes("an answer without ETag, so not from an S3 store")
    data: bytes = response["Body"].read()
    if len(data) != response.get("ContentLength", len(data)):
        raise WrongBytes(f"{len(data)} bytes of {response['ContentLength']}")
    return data


def check_bytes(data: bytes, answer: Any, sha256: str) -> None:
    """Compares bytes with what is known: the expected digest, the object's own, or its MD5 tag."""
    _compare(
        lambda name: hashlib.new(name, data, usedforsecurity=False).hexdigest(), answer, sha256
    )


def check_file(path: Path, answer: Any, sha256: str) -> None:
    """Compares a fetched file with what is known, as `check_bytes` does, and with its size."""
    if path.stat().st_size != answer["ContentLength"]:
        raise WrongBytes(f"{path.stat().st_size} bytes of {answer['ContentLength']}")

    def digest(name: str) -> str:
        with open(path, "rb") as file:
            return hashlib.file_digest(
                file, lambda: hashlib.new(name, usedforsecurity=False)
            ).hexdigest()

    _compare(digest, answer, sha256)


def _compare(digest: Callable[[str], str], answer: Any, sha256: str) -> None:
    own = answer.get("Metadata", {}).get("sha256", "")
    tag = _MD5.fullmatch(str(answer.get("ETag", "")))
    plain = answer.get("ServerSideEncryption") in (None, "AES256")  # else the tag is no MD5
    if sha256 or own:
        found = digest("sha256")
        if sha256 and found != sha256:
            raise WrongBytes("not the bytes expected")
        if own and found != own:
            raise WrongBytes("not the bytes that were written")
    elif tag and plain and digest("md5") != tag[1]:
        raise WrongBytes("not the bytes of its tag")
