"""The toy dataset of tests/training/tiny.py, made once."""

import pytest

from tests.training import tiny


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Folder of the toy dataset; tests only read it."""
    return tiny.make_world(tmp_path_factory.mktemp("tiny"))
