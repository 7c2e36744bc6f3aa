"""Answers of a Kubeflow Pipelines server, in plain words where it refuses.

The server's health is asked for once, without following redirects: that tells an unreachable server
from a login page, a missing token from a wrong address, and one version from another.
"""

import importlib.metadata
import json
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit

from dico.errors import AccessError, TryAgainError, UsageError
from dico_pipelines.cluster.connection import LOG_IN, Connection, proxy_of
from dico_pipelines.cluster.unreachable import explain

SECONDS_TO_ANSWER = 10.0
HEALTH = "/apis/v2beta1/healthz"

_UI = "kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80, then http://localhost:8080"


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


def get(connection: Connection, path: str, timeout: Any = SECONDS_TO_ANSWER, **options: Any) -> Any:
    """The server's answer to ``path``, by the library requests and with its ``options``.

    Raises:
        OSError: the server cannot be reached.
    """
    import requests

    return requests.get(
        f"{connection.endpoint}{path}",
        headers={"Authorization": f"Bearer {connection.token}"} if connection.token else {},
        verify=connection.ca_certificate or True,
        proxies=dict.fromkeys(("http", "https", "all"), proxy_of(connection.endpoint)),
        timeout=timeout,
        **options,
    )


def read_health(connection: Connection) -> Health:
    """Asks the server how it is, once.

    Raises:
        TryAgainError: it cannot be reached, or is not ready.
        AccessError: it wants a token, or another one.
        UsageError: what answers is not Kubeflow Pipelines.
    """
    where = connection.endpoint
    try:
        answer = get(connection, HEALTH, allow_redirects=False)
    except OSError as error:  # requests raises no other kind
        raise explain(error, connection) from None
    if answer.is_redirect:
        _refuse_redirect(connection, urljoin(answer.url, answer.headers["Location"]))
    refuse(answer.status_code, answer.text, connection)
    try:
        said = answer.json()
        return Health(_release(said.get("tag_name", "")), bool(said.get("multi_user", False)))
    except (ValueError, AttributeError):
        is_page = "<html" in answer.text[:500].lower()
        what = "a web page, perhaps a login" if is_page else "something other than JSON"
        raise UsageError(
            f"{where}: answers with {what} where Kubeflow Pipelines would report its health; give "
            "the address of its API, such as https://HOST/pipeline, and a token if it needs a login"
        ) from None


def _refuse_redirect(connection: Connection, target: str) -> NoReturn:
    """Tells the same API at another address, such as https, from a login page."""
    where, path = connection.endpoint, HEALTH
    if urlsplit(target).path.endswith(path):
        moved = target.partition("?")[0].removesuffix(path)
        raise UsageError(f"{where}: has moved to {moved}; give that address")
    page = target.partition("?")[0]
    raise AccessError(f"{where}: redirects to a login page, {page}; {LOG_IN}")


def ui_of(connection: Connection) -> str:
    """Address of the page of runs; the service ``ml-pipeline`` is the API alone and has none."""
    try:
        page = get(connection, "/", allow_redirects=False)
    except OSError:
        return _UI
    return connection.endpoint if "<html" in page.text[:500].lower() else _UI


def refuse(status: int, body: str, connection: Connection) -> None:
    """Raises the error that an HTTP status means; returns where all is well.

    Raises:
        DicoError: the status is 400 or above.
    """
    if status < 400:
        return
    where, said = connection.endpoint, _said(body)
    if status == 401:
        state = "is refused or has expired" if connection.token else "is missing"
        raise AccessError(f"{where}: the token {state}; {LOG_IN}")
    if status == 403:
        if not connection.token:
            raise AccessError(f"{where}: this is not allowed without a token{said}; {LOG_IN}")
        space = f" in namespace {connection.namespace}" if connection.namespace else ""
        raise AccessError(
            f"{where}: this is not allowed{space}{said}; ask for the role kubeflow-edit there, or "
            "name another by --namespace"
        )
    if status == 404:
        raise UsageError(
            f"{where}: not found there{said}; is this the address of the API, such as "
            "https://HOST/pipeline?"
        )
    if status == 400 and "https" in body.lower() and where.startswith("http://"):
        raise UsageError(f"{where}: speaks TLS; give {where.replace('http://', 'https://', 1)}")
    if status in (408, 425, 429) or status >= 500:
        if proxy := proxy_of(where, shown=True):
            said += f", through the proxy {proxy}"
        raise TryAgainError(f"{where}: not ready, it answers {status}{said}")
    raise UsageError(f"{where}: the server refuses this ({status}){said}")


def _said(body: str) -> str:
    """The server's own words, as `` (...)``; nothing where it has none, or sends a page."""
    try:
        content = json.loads(body)
        message = content["message"] if isinstance(content, dict) else ""
    except ValueError:
        message = "" if "<" in body else body
    except KeyError:
        message = ""
    words = " ".join(str(message).split())
    return f" ({words[:400]})" if words else ""


def _release(tag: str) -> str:
    return tag.removeprefix("v") if tag.removeprefix("v")[:1].isdigit() else ""


def _major_minor(version: str) -> tuple[int, ...]:
    head = version.split(".")[:2]
    return tuple(int(part) for part in head) if all(p.isdigit() for p in head) else ()
