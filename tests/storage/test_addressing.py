"""The user's addressing style is kept, and a refusal says how the store was asked."""

import socket

import pytest
from botocore.exceptions import EndpointConnectionError

from dico.errors import AccessError, TryAgainError
from dico.storage import open_store
from dico.storage.retry import RetryPolicy, TransientFault
from dico.storage.s3 import S3Store
from dico.storage.s3_answers import translated
from tests.local_server import Handler, LocalServer


class Refuses(Handler):
    """Answers 403, and keeps where each request went."""

    seen: list[tuple[str, str]] = []

    def do_GET(self):
        self.seen.append((self.headers["Host"].partition(":")[0], self.path))
        self.answer()

    do_HEAD = do_GET

    def answer(self):
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def refuses(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    Refuses.seen = []
    with LocalServer(Refuses) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://localhost:{server.port}")
        yield monkeypatch, tmp_path


@pytest.mark.parametrize(
    ("style", "host", "path"),
    [
        ("virtual", "photos.localhost", "/set/d.jsonl"),
        ("path", "localhost", "/photos/set/d.jsonl"),
        ("", "localhost", "/photos/set/d.jsonl"),
    ],
)
def test_the_users_addressing_style_is_kept(refuses, style, host, path):
    monkeypatch, tmp_path = refuses
    resolve = socket.getaddrinfo  # not every machine knows the names below localhost

    def local(name, *more, **options):
        return resolve("localhost" if name.endswith(".localhost") else name, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", local)
    chosen = f"s3 =\n  addressing_style = {style}\n" if style else ""
    (tmp_path / "config").write_text(f"[default]\nregion = xx\n{chosen}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    store = S3Store("s3://photos/set", RetryPolicy(max_attempts=1))
    with pytest.raises(AccessError, match=f"localhost was addressed in {style or 'path'} style"):
        store.read_bytes("d.jsonl")
    assert Refuses.seen == [(host, path)]


def test_no_second_client_where_the_store_is_local(tmp_path):
    assert open_store(tmp_path).list() == []


@pytest.mark.parametrize(
    ("host", "told"), [("photos.store.example", "addressing_style = path"), ("store.example", "")]
)
def test_a_host_that_does_not_answer_is_named(host, told):
    error = EndpointConnectionError(endpoint_url=f"http://{host}:7480/set?signature=secret")
    fault = translated(error, "s3://photos/set", "photos", lambda: None)
    assert isinstance(fault, TransientFault)
    assert f"no connection to {host}" in str(fault)
    assert "secret" not in str(fault)
    assert ("addressing_style" in str(fault)) == bool(told)


@pytest.mark.parametrize(
    ("variable", "host"),
    [("AWS_ENDPOINT_URL_S3", "store.invalid"), ("HTTP_PROXY", "proxy.invalid")],
)
def test_a_host_that_is_not_known_is_final_after_a_few_tries(monkeypatch, variable, host):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://store.example:9000")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv(variable, f"http://{host}:9000")
    tried = []

    def unknown(name, *_, **__):
        tried.append(name)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    policy = RetryPolicy(base_seconds=0.01, unknown_host_seconds=0.01)
    with pytest.raises(
        TryAgainError, match=rf"{host}, a host that is not known; check .*{variable}"
    ):
        S3Store("s3://photos/set", policy).read_bytes("d.jsonl")
    assert 2 <= len(tried) < 10
    assert set(tried) == {host}
