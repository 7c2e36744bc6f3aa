"""Requests that are tried again: not without end, and not for long without a word."""

import pytest

from dico.errors import TryAgainError
from dico.storage import retry as module
from dico.storage.retry import RetryPolicy, TransientFault, retry


def fail(_: int) -> None:
    raise TransientFault("nobody answers")


def test_a_dead_store_is_said_once_while_it_is_tried(monkeypatch, capsys):
    monkeypatch.setattr(module, "SILENT_SECONDS", -1.0)
    with pytest.raises(TryAgainError, match="failed 3 times in"):
        retry(fail, "s3://bucket/key", RetryPolicy(max_attempts=3, base_seconds=0.0))
    assert capsys.readouterr().err == "s3://bucket/key: still trying (nobody answers)\n"


def test_a_short_fault_is_not_spoken_of(capsys):
    answers = iter([fail, fail, lambda _: "bytes"])
    policy = RetryPolicy(base_seconds=0.0)
    assert retry(lambda attempt: next(answers)(attempt), "s3://bucket/key", policy) == "bytes"
    assert capsys.readouterr().err == ""
