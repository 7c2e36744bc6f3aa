"""Exit codes: every kind of failure leaves with its own code and one line."""

import errno

import pytest

from dico import errors
from dico.process.exits import exit_codes


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (errors.ConfigError("xe.steps: must be positive"), 2, "error: xe.steps: must be positive"),
        (errors.DataError("a.jsonl: empty\nfile"), 65, "error: a.jsonl: empty file"),
        (errors.NonFiniteError("loss is nan"), 70, "error: loss is nan"),
        (errors.StorageError("disk full"), 74, "error: disk full"),
        (errors.TryAgainError("preempted"), 75, "error: preempted"),
        (errors.AccessError("no key"), 77, "error: no key"),
        (OSError(errno.ENOSPC, "No space left", "/x"), 74, "error: /x: No space left"),
        (PermissionError(errno.EACCES, "no", "/x"), 77, "error: /x: permission denied"),
    ],
)
def test_expected_errors_print_one_line(error, code, line, capsys):
    with pytest.raises(SystemExit) as left, exit_codes():
        raise error
    assert left.value.code == code
    assert capsys.readouterr().err.splitlines() == [line]


def test_unexpected_errors_keep_their_traceback(capsys):
    with pytest.raises(SystemExit) as left, exit_codes():
        raise KeyError("surprise")
    lines = capsys.readouterr().err.splitlines()
    assert left.value.code == 70
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "error: internal: KeyError: 'surprise'"


def test_success_passes():
    with exit_codes():
        pass
