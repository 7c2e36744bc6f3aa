"""One connection to Kubeflow Pipelines, and plain words for everything that can be wrong with it.

Before the client is made, the server's health is asked for once, without following redirects: that
tells an unreachable server from a login page, a missing token from a wrong address, and one version
from another. A token is never taken from the command line and never printed.
"""

import contextlib
import importlib.metadata
import io
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dico.errors import AccessError, DicoError, StorageError, TryAgainError, UsageError

SERVICE = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
"""Where pods find Kubeflow Pipelines."""

POD_TOKEN = "/var/run/secrets/kubeflow/pipelines/token"  # noqa: S105, a path
"""Where pods find the token that is meant for Kubeflow Pipelines."""

POD_NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

SECONDS_TO_ANSWER = 10.0


@dataclass(frozen=True, slots=True)
class Connection:
    """Where Kubeflow Pipelines is, and as whom it is asked."""

    endpoint: str
    """Address, such as https://kubeflow.example.com/pipeline."""
    token: str = field(default="", repr=False)
    """Bearer token; empty where none is needed."""
    namespace: str = ""
    """Profile to work in; empty for a server of one user."""
    ca_certificate: str = ""
    """File of the certificate authority; empty for those of the system."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a server says of itself."""

    version: str
    """Its release, such as 2.17.0; empty where it does not say."""
    multi_user: bool
    """Whether each user works in a namespace."""

    def skew(self) -> str:
        """How the server's version differs from the client's; empty where they fit."""
        client = importlib.metadata.version("kfp")
        server = _major_minor(self.version)
        if not server or server == _major_minor(client):
            return ""
        return (
            f"the server is Kubeflow Pipelines {self.version}, the client kfp {client}: "
            + ("features of the newer client may be ignored by" if server < _major_minor(client)
               else "the client is older than")
            + " the server"
        )  # fmt: skip


def connection_from_environment(
    endpoint: str = "", namespace: str = "", token_file: str = ""
) -> Connection:
    """The connection that options, environment and pod describe, in this order.

    ``KFP_ENDPOINT``, ``KFP_NAMESPACE``, ``KFP_TOKEN_FILE``, ``KFP_EXISTING_TOKEN`` and
    ``KFP_CA_CERT`` are read, the first two and the fourth being those of the ``kfp`` command too.

    Raises:
        UsageError: no address is given, or it is not one.
        AccessError: the token's file cannot be read.
    """
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ
    address = endpoint or os.environ.get("KFP_ENDPOINT", "") or (SERVICE if in_pod else "")
    if not address:
        raise UsageError(
            "no address of Kubeflow Pipelines: set KFP_ENDPOINT or give --endpoint, such as "
            "http://localhost:8888 after: kubectl port-forward -n kubeflow svc/ml-pipeline 8888"
        )
    if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).hostname:
        raise UsageError(f"{address}: not an address; it starts with http:// or https://")
    space = namespace or os.environ.get("KFP_NAMESPACE", "")
    if not space and in_pod and Path(POD_NAMESPACE).is_file():
        space = Path(POD_NAMESPACE).read_text().strip()
    return Connection(
        address.rstrip("/"), _token(token_file), space, os.environ.get("KFP_CA_CERT", "")
    )


def _token(token_file: str) -> str:
    path = token_file or os.environ.get("KFP_TOKEN_FILE", "")
    if not path and os.environ.get("KFP_EXISTING_TOKEN"):
        return os.environ["KFP_EXISTING_TOKEN"].strip()
    if not path and Path(POD_TOKEN).is_file():
        path = POD_TOKEN
    try:
        return Path(path).read_text().strip() if path else ""
    except OSError as error:
        raise AccessError(f"{path}: the token cannot be read ({error.strerror})") from None


def read_health(connection: Connection) -> Health:
    """Asks the server how it is, once.

    Raises:
        TryAgainError: it cannot be reached, or is not ready.
        AccessError: it wants a token, or another one.
        UsageError: what answers is not Kubeflow Pipelines.
    """
    import requests

    where = connection.endpoint
    try:
        answer = requests.get(
            f"{where}/apis/v2beta1/healthz",
            headers={"Authorization": f"Bearer {connection.token}"} if connection.token else {},
            timeout=SECONDS_TO_ANSWER,
            allow_redirects=False,
            verify=connection.ca_certificate or True,
        )
    except requests.exceptions.SSLError:
        raise AccessError(
            f"{where}: its certificate is not trusted here; set KFP_CA_CERT to the file of the "
            "authority that signed it"
        ) from None
    except OSError as error:  # requests raises no other kind
        raise TryAgainError(f"{where}: cannot be reached ({_cause(error)}); {_REACH}") from None
    if answer.is_redirect:
        raise AccessError(f"{where}: answers with a login page; {_TOKEN}")
    refuse(answer.status_code, answer.text, connection)
    try:
        said = answer.json()
        return Health(_release(said.get("tag_name", "")), bool(said.get("multi_user", False)))
    except (ValueError, AttributeError):
        is_page = "<html" in answer.text[:500].lower()
        what = "a page for people, perhaps a login" if is_page else "not JSON"
        raise UsageError(
            f"{where}: answers with {what} where Kubeflow Pipelines would give its health; give "
            "the address of its API, such as https://HOST/pipeline, and a token where it asks for "
            "a login"
        ) from None


_REACH = "check KFP_ENDPOINT, or open a way: kubectl port-forward -n kubeflow svc/ml-pipeline 8888"
_TOKEN = "set KFP_TOKEN_FILE to a file with a token, or KFP_EXISTING_TOKEN to the token"  # noqa: S105


def refuse(status: int, body: str, connection: Connection) -> None:
    """Raises the error that an HTTP status means; returns where all is well.

    Raises:
        DicoError: the status is 400 or above.
    """
    if status < 400:
        return
    where, said = connection.endpoint, _said(body)
    namespace = connection.namespace or "(none)"
    if status == 401:
        state = "is refused or has expired" if connection.token else "is missing"
        raise AccessError(f"{where}: the token {state}; {_TOKEN}")
    if status == 403:
        raise AccessError(
            f"{where}: this is not allowed in namespace {namespace}{said}; ask for the role "
            "kubeflow-edit there, or name another by --namespace"
        )
    if status == 404:
        raise UsageError(f"{where}: not found there{said}; is this the address of the API?")
    if status in (408, 425, 429) or status >= 500:
        raise TryAgainError(f"{where}: not ready, it answers {status}{said}")
    raise UsageError(f"{where}: the server refuses this ({status}){said}")


@contextmanager
def asking(connection: Connection) -> Iterator[Any]:
    """The client of kfp, its words silenced and its errors turned into ours.

    Raises:
        UsageError: the server keeps users apart and no namespace is given, or refuses a request.
        AccessError: a token or a right is missing.
        TryAgainError: the server went away.
    """
    health = read_health(connection)
    if health.multi_user and not connection.namespace:
        raise UsageError(
            f"{connection.endpoint}: this server keeps its users apart; name your profile by "
            "--namespace or KFP_NAMESPACE"
        )
    if health.skew():
        print(f"note: {health.skew()}")
    import kfp_server_api
    import urllib3

    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield _client(connection)
    except kfp_server_api.ApiException as error:
        refuse(error.status or 503, str(error.body or error.reason or ""), connection)
        raise DicoError(f"{connection.endpoint}: unexpected answer {error.status}") from None
    except urllib3.exceptions.HTTPError as error:
        raise TryAgainError(
            f"{connection.endpoint}: the connection broke ({_cause(error)}); {_REACH}"
        ) from None


def _client(connection: Connection) -> Any:
    import kfp

    return kfp.Client(
        host=connection.endpoint,
        existing_token=connection.token or None,
        namespace=connection.namespace or "kubeflow",
        ssl_ca_cert=connection.ca_certificate or None,
    )


def require_kfp() -> None:
    """Refuses to go on without the client.

    Raises:
        UsageError: kfp is not installed.
        StorageError: it is installed and broken.
    """
    if importlib.util.find_spec("kfp") is None:
        raise UsageError("this needs kfp; install it: pip install 'dico[pipelines]'")
    try:
        importlib.metadata.version("kfp")
    except importlib.metadata.PackageNotFoundError:
        raise StorageError("kfp is installed without its metadata; install it again") from None


def _said(body: str) -> str:
    """The server's own words, as `` (...)``; nothing where it has none."""
    try:
        message = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f" ({' '.join(str(message).split())[:400]})"


def _cause(error: BaseException) -> str:
    """The innermost reason of a failed connection, without addresses of memory."""
    text = str(error)
    for known in (
        "Connection refused",
        "Name or service not known",
        "nodename nor servname",
        "Temporary failure in name resolution",
        "Network is unreachable",
        "No route to host",
        "timed out",
        "Connection reset",
        "Connection aborted",
    ):
        if known.lower() in text.lower():
            return known.lower()
    return type(error).__name__


def _release(tag: str) -> str:
    return tag.removeprefix("v") if tag.removeprefix("v")[:1].isdigit() else ""


def _major_minor(version: str) -> tuple[int, ...]:
    head = version.split(".")[:2]
    return tuple(int(part) for part in head) if all(p.isdigit() for p in head) else ()
