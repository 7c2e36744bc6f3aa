"""The quick subset of the checks of data and storage: every bar is reached.

Whole runs over a store that fails take longer: ``python -m tests.reliability --quick --only B1``.
"""

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
        "check_images",
        "check_structure",
    ],
)
def test_every_bar_is_reached(module: str) -> None:
    if module == "check_lying_storage":
        pytest.importorskip("flask", reason="moto's server needs flask: pip install 'moto[server]'")
    rows = importlib.import_module(f"tests.reliability.{module}").check(False)
    assert [row for row in rows if not row.good] == []
    if not any(row.total for row in rows):
        pytest.skip("; ".join(sorted({row.note for row in rows})))
