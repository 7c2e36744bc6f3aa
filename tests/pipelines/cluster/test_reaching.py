"""Addresses that lead nowhere: TLS, proxies, another server; each is told from the others."""

import socket

import pytest

from dico.errors import AccessError, TryAgainError, UsageError
from dico_pipelines.cluster.connection import proxy_of
from dico_pipelines.cluster.listing import list_runs
from dico_pipelines.cluster.submitting import submit
from tests.pipelines.cluster import kfp_server
from tests.pipelines.cluster.certificates import IP, OTHER_NAME, write_certificate
from tests.pipelines.cluster.kfp_server import KfpServer, serving
from tests.pipelines.cluster.test_watching import GIVEN, PIPELINE, server

__all__ = ["server"]


@pytest.fixture
def secure(server, tmp_path):
    """Starts the server with a certificate; gives its address."""
    with pytest.MonkeyPatch.context() as patched:
        started = []

        def start(name=IP, days=1):
            certificate = write_certificate(tmp_path / "server.pem", name, days)
            started.append(serving(server, certificate))
            return started[0].__enter__()

        patched.delenv("REQUESTS_CA_BUNDLE", raising=False)
        yield start
        started[0].__exit__(None, None, None)


def test_a_certificate_of_an_own_authority_is_trusted_once_it_is_named(
    secure, tmp_path, monkeypatch
):
    address = secure()
    with pytest.raises(AccessError, match="certificate is not trusted here; set KFP_CA_CERT"):
        list_runs(endpoint=address)
    monkeypatch.setenv("KFP_CA_CERT", str(tmp_path / "server.pem"))
    assert list_runs(endpoint=address) == []
    other = write_certificate(tmp_path / "other.pem")
    monkeypatch.setenv("KFP_CA_CERT", str(other))
    with pytest.raises(AccessError, match=rf"not signed by the authority of KFP_CA_CERT, {other}"):
        list_runs(endpoint=address)
    other.write_text("no certificate")
    with pytest.raises(AccessError, match=r"other.pem: holds no certificate in PEM format"):
        list_runs(endpoint=address)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"days": -1}, "certificate has expired; whoever runs the server has to renew it"),
        ({"name": OTHER_NAME}, "certificate is for another name; give the address by that name"),
    ],
)
def test_a_certificate_that_does_not_fit(secure, tmp_path, monkeypatch, made, words):
    address = secure(**made)
    monkeypatch.setenv("KFP_CA_CERT", str(tmp_path / "server.pem"))
    with pytest.raises(AccessError, match=words):
        list_runs(endpoint=address)


def test_the_wrong_scheme_is_named(server, secure, monkeypatch):
    with serving(server) as plain:
        meant = plain.replace("http://", "https://")
        with pytest.raises(UsageError, match=f"{meant}: does not speak TLS; give {plain}"):
            list_runs(endpoint=meant)
    meant = secure().replace("https://", "http://")
    with pytest.raises(TryAgainError, match=r"without an answer .*, as a server of https:// does"):
        list_runs(endpoint=meant)


@pytest.mark.parametrize(
    "said",
    [
        "Client sent an HTTP request to an HTTPS server.\n",
        "<html><center>The plain HTTP request was sent to HTTPS port</center></html>",
    ],
)
def test_a_server_that_says_that_it_speaks_tls(server, monkeypatch, said):
    server.answer = 400, said
    with pytest.raises(UsageError, match=r"speaks TLS; give https://127"):
        list_runs()


def test_what_answers_is_shown_where_it_wants_a_login(server):
    server.answer, server.location = (
        (302, ""),
        "/login?next=%2Fapis",
    )  # a notebook, on the same port
    with pytest.raises(AccessError, match=r"a login page, http://127\.0\.0\.1:\d+/login; set KFP"):
        list_runs()


def test_an_option_goes_before_the_environment(server, monkeypatch):
    monkeypatch.setenv("KFP_ENDPOINT", "http://127.0.0.1:9")
    other = KfpServer()
    with serving(other) as address:
        submit(PIPELINE, GIVEN, endpoint=address)
    assert len(other.runs) == 1
    assert server.requests == []


@pytest.fixture
def proxy(monkeypatch):
    """A proxy that all of the environment's names lead to; what it was asked for."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        for spelled in (name, name.lower()):
            monkeypatch.delenv(spelled, raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    asked = []

    class Proxy(KfpServer):
        def handle(self, method, url, headers, body):
            asked.append(url)
            return super().handle(
                method, url.removeprefix("http://kubeflow.example"), headers, body
            )

    with kfp_server.serving(Proxy()) as address:
        monkeypatch.setenv("HTTP_PROXY", address.replace("://", "://me:s3cr3t@"))
        yield asked


def test_a_port_forward_needs_no_proxy(server, proxy):
    assert list_runs() == []
    assert proxy == []


def test_every_request_to_elsewhere_goes_through_the_proxy(server, proxy):
    assert list_runs(endpoint="http://kubeflow.example") == []
    assert proxy[0] == "http://kubeflow.example/apis/v2beta1/healthz"
    assert proxy[-1].startswith("http://kubeflow.example/apis/v2beta1/runs?")


def test_a_proxy_that_is_not_there_is_named_without_its_password(server, proxy, monkeypatch):
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    monkeypatch.setenv("HTTP_PROXY", f"http://me:s3cr3t@127.0.0.1:{port}")
    with pytest.raises(TryAgainError) as failure:
        list_runs(endpoint="http://kubeflow.example")
    assert f"through the proxy 127.0.0.1:{port} (connection refused)" in str(failure.value)
    assert "put its host into NO_PROXY" in str(failure.value)
    assert "s3cr3t" not in str(failure.value)
    monkeypatch.setenv("NO_PROXY", "kubeflow.example")
    assert proxy_of("http://kubeflow.example") is None
