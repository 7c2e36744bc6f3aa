"""A registry of each kind, empty."""

import pytest

from tests.registry.model_registry_server import ModelRegistryServer
from tests.storage.conftest import KEYS, make_client, moto_server, use_endpoint

__all__ = ["moto_server"]


@pytest.fixture(params=["folder", "s3", "kubeflow", "mlflow"])
def registry_uri(request, tmp_path, monkeypatch):
    """Where a registry of that kind is."""
    if request.param == "folder":
        yield str(tmp_path / "registry")
    elif request.param == "s3":
        url = request.getfixturevalue("moto_server")
        for name, value in {**KEYS, "AWS_DEFAULT_REGION": "us-east-1"}.items():
            monkeypatch.setenv(name, value)
        use_endpoint(monkeypatch, url)
        client = make_client(url)
        if "registry" not in [b["Name"] for b in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket="registry")
        yield f"s3://registry/{tmp_path.name}"
    elif request.param == "kubeflow":
        pytest.importorskip("model_registry", reason="pip install 'dico-captioner[kubeflow]'")
        with ModelRegistryServer() as server:
            yield f"kubeflow+{server.url}?store={tmp_path}/store"
    else:
        pytest.importorskip("mlflow", reason="pip install 'dico-captioner[mlflow]'")
        yield f"mlflow+sqlite:///{tmp_path}/mlflow.db?store={tmp_path}/store"
