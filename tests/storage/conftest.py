"""An S3 server for the tests: moto's always, the real one of ``DICO_TEST_S3`` where it is named."""

import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testsecret"}


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The endpoint of moto's S3 server."""
    pytest.importorskip("flask", reason="moto's server needs flask: pip install 'moto[server]'")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["moto", "real"])
def endpoint(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The endpoint of an S3 server with an empty bucket ``dico-tests``; the environment names it."""
    if request.param == "real":
        url = os.environ.get("DICO_TEST_S3", "")
        if not url:
            pytest.skip("no real S3 server: set DICO_TEST_S3 to its endpoint")
    else:
        url = request.getfixturevalue("moto_server")
    for name, value in {**KEYS, "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    use_endpoint(monkeypatch, url)
    client = make_client(url)
    if "dico-tests" not in [b["Name"] for b in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket="dico-tests")
    for item in client.list_objects_v2(Bucket="dico-tests").get("Contents", []):
        client.delete_object(Bucket="dico-tests", Key=item["Key"])
    return url


def use_endpoint(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Makes boto3 talk to ``url``."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)


def make_client(url: str) -> Any:
    """A plain client, past all proxies."""
    import boto3

    return boto3.client("s3", endpoint_url=url, region_name="us-east-1",
                        aws_access_key_id="test", aws_secret_access_key="testsecret")  # fmt: skip
