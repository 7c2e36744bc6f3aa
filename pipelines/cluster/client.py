"""The client of kfp, its words silenced and its errors turned into ours."""

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dico.errors import DicoError, TryAgainError, UsageError
from dico_pipelines.cluster.answers import read_health, refuse
from dico_pipelines.cluster.connection import Connection, proxy_of
from dico_pipelines.cluster.unreachable import REACH, cause


def require_kfp() -> None:
    """Refuses to go on without the client.

    Raises:
        UsageError: kfp is not installed.
    """
    if importlib.util.find_spec("kfp") is None:
        raise UsageError("this needs kfp; install it: pip install 'dico-captioner[pipelines]'")


@contextmanager
def kfp_client(connection: Connection, note_skew: bool = True) -> Iterator[Any]:
    """The client of kfp, its words silenced and its errors turned into ours.

    Args:
        connection: whom to ask.
        note_skew: whether to print a line where client and server are of different releases.

    Raises:
        UsageError: the server is multi-user and no namespace is given, or it refuses a request.
        AccessError: a token or a right is missing.
        TryAgainError: the server went away.
    """
    health = read_health(connection)
    if health.multi_user and not connection.namespace:
        raise UsageError(
            f"{connection.endpoint}: this server is multi-user; name your profile by "
            "--namespace or KFP_NAMESPACE"
        )
    if note_skew and health.skew():
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
            f"{connection.endpoint}: the connection broke ({cause(error)}); {REACH}"
        ) from None


def _client(connection: Connection) -> Any:
    import kfp

    return kfp.Client(
        host=connection.endpoint,
        existing_token=connection.token or None,
        namespace=connection.namespace or "kubeflow",
        proxy=proxy_of(connection.endpoint),
        ssl_ca_cert=connection.ca_certificate or None,
    )
