"""Secrets are taken out of texts, logs and tracebacks; all else stays as it is."""

import subprocess
import sys

import pytest

from dico.process.redaction import redact


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG")
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")
    monkeypatch.setenv("DICO_SIGNING_KEY", "/keys/private.pem")
    monkeypatch.setenv("KFP_TOKEN_FILE", "token-file-name")
    monkeypatch.setenv("SHORT_TOKEN", "red")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("key wJalrXUtnFEMI/K7MDENG, hf_abcdefgh!", "key ***, ***!"),
        ("/keys/private.pem: no private key there", "/keys/private.pem: no private key there"),
        ("token-file-name is missing", "token-file-name is missing"),
        ("a red circle", "a red circle"),
        ("http://user:secret@host:9000/a", "http://***@host:9000/a"),
        ("/tmp/https:/user:secret@host/a", "/tmp/https:/***@host/a"),
        ("s3://bucket/a@b.json and http://host/x@y", "s3://bucket/a@b.json and http://host/x@y"),
        ("Authorization: Bearer abcdefgh.ijk", "Authorization: Bearer ***"),
        ("?X-Amz-Signature=0123456789abcdef&a=1", "?X-Amz-Signature=***&a=1"),
        ("x-amz-security-token: FwoGZXIvYXdz\nb", "x-amz-security-token: ***\nb"),
        ("a basic idea of tokens", "a basic idea of tokens"),
    ],
)
def test_only_secrets_are_hidden(text, expected):
    assert redact(text) == expected


def test_private_keys_are_hidden_whole_and_in_part():
    pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY-----"
    assert redact(f"a {pem} b") == "a *** b"
    assert redact("a -----BEGIN PRIVATE KEY-----\nMC4CAQ") == "a ***"


def test_a_key_in_a_variable_is_hidden_line_by_line(monkeypatch):
    monkeypatch.setenv("DICO_SIGNING_KEY", "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYD\n-----END")
    assert redact("bad line 'MC4CAQAwBQYD'") == "bad line '***'"


def test_errors_tracebacks_and_logs(monkeypatch):
    monkeypatch.setenv("API_TOKEN", "planted-secret")
    code = """
import logging, os
from dico.process.exits import exit_codes
secret = os.environ["API_TOKEN"]
with exit_codes():
    logging.getLogger("x").warning("log %s", secret)
    try:
        raise ValueError(secret)
    except ValueError:
        logging.getLogger("x").exception("caught")
    raise RuntimeError(secret)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 70
    assert "planted-secret" not in done.stderr + done.stdout
    assert "log ***" in done.stderr
    assert done.stderr.count("Traceback") == 2
    assert done.stderr.endswith("error: internal: RuntimeError: ***\n")
