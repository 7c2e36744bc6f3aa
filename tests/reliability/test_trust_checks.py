"""The quick subset of the checks of what comes from strangers: every bar is reached."""

import importlib

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "check_config",
        "check_pickles",
        "check_pods",
        "check_secrets",
        "check_tampering",
        "check_wrong_weights",
    ],
)
def test_every_bar_is_reached(module: str) -> None:
    rows = importlib.import_module(f"tests.reliability.{module}").check(False)
    assert [row for row in rows if not row.good] == []
    assert any(row.total for row in rows)
