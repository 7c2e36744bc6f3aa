"""boto3's clients for S3, one per process and setting."""

import threading
from functools import cache
from typing import Any

CONNECT_SECONDS = 5.0
NUM_THREADS = 8
"""Objects, or parts of one, that are on their way at once."""
_CLIENTS = threading.Lock()


def open_client(read_seconds: float, endpoint: str | None, process: int) -> Any:
    """The client of this process and endpoint, made once."""
    with _CLIENTS:
        return make_client(read_seconds, endpoint, process)


@cache
def make_client(read_seconds: float, endpoint: str | None, _process: int) -> Any:
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
