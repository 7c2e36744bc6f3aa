"""Addresses that MLflow's registry cannot be: one line each, and at once."""

import socket

import pytest

from dico.errors import ConfigError, TryAgainError, UsageError
from dico.registry import open_registry

pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.mark.parametrize("address", ["file:///tmp/mlruns", "/tmp/mlruns", "mlruns"])
def test_a_folder_is_refused(tmp_path, address):
    with pytest.raises(UsageError, match="keeps no model registry in a folder"):
        open_registry(f"mlflow+{address}?store={tmp_path}")


def test_an_unknown_scheme_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is one of http, https, mssql"):
        open_registry(f"mlflow+databricks://x?store={tmp_path}")


def test_a_database_without_its_driver_names_the_package(tmp_path):
    with pytest.raises(UsageError, match="pip install psycopg") as raised:
        open_registry(f"mlflow+postgresql://u:secret@h/db?store={tmp_path}").names()
    assert "secret" not in str(raised.value)


def test_the_store_may_follow_other_parameters(tmp_path):
    with pytest.raises(UsageError, match="psycopg"):
        open_registry(f"mlflow+postgresql://u:p@h/db?sslmode=require&store={tmp_path}").names()
    with pytest.raises(ConfigError, match=r"add \?store="):
        open_registry("mlflow+postgresql://u:p@h/db?sslmode=require")
    sqlite = f"sqlite:///{tmp_path}/m.db?timeout=5"
    assert open_registry(f"mlflow+{sqlite}&store={tmp_path}/store").names() == []


def test_a_server_that_does_not_answer_is_named(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(TryAgainError, match="no answer"):
        open_registry(f"mlflow+http://127.0.0.1:{port}?store={tmp_path}")
