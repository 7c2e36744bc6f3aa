"""The quick subset of the checks of data and storage: every bar is reached."""

import importlib

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "check_captions",
        "check_denied_storage",
        "check_features",
        "check_flipped_bits",
        "check_full_disk",
        "check_lying_storage",
        "check_pictures",
        "check_storage_faults",
        "check_structure",
    ],
)
def test_every_bar_is_reached(module: str) -> None:
    if module in ("check_lying_storage", "check_storage_faults"):
        pytest.importorskip("flask", reason="moto's server needs flask: pip install 'moto[server]'")
    rows = importlib.import_module(f"tests.reliability.{module}").check(False)
    assert [row for row in rows if not row.good] == []
    assert any(row.total for row in rows)
