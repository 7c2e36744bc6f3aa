"""Fixtures that tests of several packages share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photographs and published scores; the test is skipped without it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DICO_TEST_DATA") or beside)
    if not (folder / "README.md").is_file():
        pytest.skip(f"no real data at {folder}; set DICO_TEST_DATA to its folder")
    return folder
