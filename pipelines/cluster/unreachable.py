"""Why no answer came at all: TLS, a proxy, nobody at that address; each with what to do."""

import re

from dico.errors import AccessError, DicoError, TryAgainError, UsageError
from dico_pipelines.cluster.connection import Connection, proxy_of

REACH = "check KFP_ENDPOINT, or run: kubectl port-forward -n kubeflow svc/ml-pipeline 8888"
_KNOWN = (
    "Connection refused",
    "Name or service not known",
    "nodename nor servname",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "No route to host",
    "timed out",
    "Connection reset",
    "Connection aborted",
)
_CLOSED = ("connection reset", "connection aborted")
_PLAIN_HTTP = re.compile(r"WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|HTTP_REQUEST|PACKET_LENGTH")
_OTHER_NAME = re.compile(r"Hostname mismatch|IP address mismatch|doesn't match|not valid for")


def cause(error: BaseException) -> str:
    """The innermost reason of a failed connection, without addresses of memory."""
    text = str(error).lower()
    return next((known.lower() for known in _KNOWN if known.lower() in text), type(error).__name__)


def explain(error: OSError, connection: Connection) -> DicoError:
    """What ``error``, raised by the library requests instead of an answer, means to a user."""
    import requests

    where, reason = connection.endpoint, cause(error)
    if isinstance(error, requests.exceptions.SSLError):
        return _explain_tls(str(error), connection)
    if isinstance(error, requests.exceptions.ProxyError):
        return TryAgainError(
            f"{where}: cannot be reached through the proxy {proxy_of(where, shown=True)} "
            f"({reason}); if it is reached without one, put its host into NO_PROXY"
        )
    if where.startswith("http://") and reason in _CLOSED:
        return TryAgainError(
            f"{where}: ends the connection without an answer ({reason}), as a server of https:// "
            "does; if it is none, " + REACH
        )
    return TryAgainError(f"{where}: cannot be reached ({reason}); {REACH}")


def _explain_tls(said: str, connection: Connection) -> DicoError:
    where = connection.endpoint
    if _PLAIN_HTTP.search(said):
        plain = where.replace("https://", "http://", 1)
        return UsageError(f"{where}: does not speak TLS; give {plain}")
    if "certificate has expired" in said:
        return AccessError(
            f"{where}: its certificate has expired; whoever runs the server has to renew it"
        )
    if _OTHER_NAME.search(said):
        return AccessError(
            f"{where}: its certificate is for another name; give the address by that name"
        )
    if connection.ca_certificate:
        return AccessError(
            f"{where}: its certificate is not signed by the authority of KFP_CA_CERT, "
            f"{connection.ca_certificate}"
        )
    return AccessError(
        f"{where}: its certificate is not trusted here; set KFP_CA_CERT to the certificate "
        "file of the authority that signed it"
    )
