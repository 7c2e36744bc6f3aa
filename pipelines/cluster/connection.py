"""Connection to Kubeflow Pipelines, from options, environment and pod.

A token is never taken from the command line and never printed.
"""

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from dico.errors import AccessError, UsageError

SERVICE = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
"""Where pods find Kubeflow Pipelines."""

POD_TOKEN = "/var/run/secrets/kubeflow/pipelines/token"  # noqa: S105, a path
"""Where pods find the token that is meant for Kubeflow Pipelines."""

LOG_IN = (
    "set KFP_TOKEN_FILE to a file with a token, or KFP_EXISTING_TOKEN to the token (through a "
    "port-forward that of kubectl create token default-editor -n PROFILE --audience "
    "pipelines.kubeflow.org)"
)
"""What to do where a token is missing."""

POD_NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"


_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


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


def connection_from_environment(
    endpoint: str = "", namespace: str = "", token_file: str = ""
) -> Connection:
    """The connection that options, environment and pod describe, in this order.

    ``KFP_ENDPOINT``, ``KFP_NAMESPACE``, ``KFP_TOKEN_FILE``, ``KFP_EXISTING_TOKEN`` and
    ``KFP_CA_CERT`` are read, the first two and the fourth being those of the ``kfp`` command too.

    Raises:
        UsageError: no address is given, or it is not one.
        AccessError: a token or a certificate cannot be read, or is none.
    """
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ
    address = endpoint or os.environ.get("KFP_ENDPOINT", "") or (SERVICE if in_pod else "")
    if not address:
        raise UsageError(
            "no address of Kubeflow Pipelines: set KFP_ENDPOINT or give --endpoint, such as "
            "http://localhost:8888 after: kubectl port-forward -n kubeflow svc/ml-pipeline 8888"
        )
    space = namespace or os.environ.get("KFP_NAMESPACE", "")
    if not space and in_pod and Path(POD_NAMESPACE).is_file():
        space = Path(POD_NAMESPACE).read_text().strip()
    return Connection(_address(address), _token(token_file), space, _authority())


def is_this_machine(address: str) -> bool:
    """Whether an address leads to this machine, as that of a port-forward does."""
    return urlsplit(address).hostname in _THIS_MACHINE


def proxy_of(address: str, shown: bool = False) -> str | None:
    """The proxy that the environment names for ``address``; never one on the way to this machine.

    Args:
        address: where the connection leads.
        shown: whether to leave out the proxy's user and password.
    """
    from requests.utils import get_environ_proxies, select_proxy

    if is_this_machine(address):
        return None
    proxy: str | None = select_proxy(address, get_environ_proxies(address))
    return proxy.rpartition("@")[2] if proxy and shown else proxy


def _address(given: str) -> str:
    """The API's address; what a browser adds to it, such as ``/#/runs``, is left out."""
    address = given.strip().partition("#")[0].partition("?")[0].rstrip("/")
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, or half of an IPv6 address
        usable = False
    if not usable:
        raise UsageError(
            f"{address}: not an address; it is http:// or https://, a host, and perhaps a port"
        )
    if "@" in parts.netloc:
        raise UsageError(
            f"{parts.hostname}: the address holds a user or a password, which Kubeflow Pipelines "
            f"does not take; {LOG_IN}"
        )
    return address


def _authority() -> str:
    path = os.environ.get("KFP_CA_CERT", "")
    if path and not os.access(path, os.R_OK):
        raise AccessError(f"KFP_CA_CERT: {path}: there is no file that can be read")
    try:
        ssl.create_default_context(cafile=path or None)
    except OSError:
        raise AccessError(f"KFP_CA_CERT: {path}: holds no certificate in PEM format") from None
    return path


def _token(token_file: str) -> str:
    path = token_file or os.environ.get("KFP_TOKEN_FILE", "")
    if not path and os.environ.get("KFP_EXISTING_TOKEN"):
        return _checked("KFP_EXISTING_TOKEN", os.environ["KFP_EXISTING_TOKEN"])
    if not path and Path(POD_TOKEN).is_file():
        path = POD_TOKEN
    try:
        return _checked(path, Path(path).read_text(errors="replace")) if path else ""
    except OSError as error:
        raise AccessError(f"{path}: the token cannot be read ({error.strerror})") from None


def _checked(source: str, text: str) -> str:
    token = text.strip()
    if not (token.isascii() and token.isprintable() and " " not in token and token):
        raise AccessError(f"{source}: holds no token, which is one line of letters and digits")
    return token
