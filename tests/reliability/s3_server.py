"""An S3 server for the checks of storage: moto's, or the real one that ``DICO_TEST_S3`` names."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.storage.conftest import KEYS, make_client

BUCKET = "dico-tests"
_NAMES = (*KEYS, "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3", "DICO_CACHE")


@contextmanager
def s3_server() -> Iterator[str]:
    """The endpoint of a server with a bucket; the environment is put back at the end."""
    before = {name: os.environ.get(name) for name in _NAMES}
    server, url = None, os.environ.get("DICO_TEST_S3", "")
    if not url:
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        url = "http://{}:{}".format(*server.get_host_and_port())
    os.environ.update({**KEYS, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL_S3": url})
    try:
        client = make_client(url)
        if BUCKET not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket=BUCKET)
        yield url
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if server is not None:
            server.stop()
