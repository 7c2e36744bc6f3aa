"""What every registry promises, whatever keeps it; and what Kubeflow's server is told."""

import json

import pytest

from dico.errors import (
    AccessError,
    ConfigError,
    DataError,
    DigestError,
    TryAgainError,
    UsageError,
)
from dico.registry import open_registry, signing
from tests.registry.model_registry_server import ModelRegistryServer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
METADATA = {"seed": 1, "run_id": "run-7", "metrics": {"cider": 1.25, "note": "text"}}


def make_folder(tmp_path, weights):
    folder = tmp_path / f"made-{weights.hex()}"
    (folder / "captioner").mkdir(parents=True, exist_ok=True)
    (folder / "captioner" / "model.safetensors").write_bytes(weights)
    return folder


def test_the_same_promises_everywhere(registry_uri, tmp_path):
    registry = open_registry(registry_uri)
    assert registry.names() == registry.versions("toy") == []
    assert registry.champion("toy") is None
    first = registry.register("toy", make_folder(tmp_path, b"a"), METADATA, "identity a")
    second = registry.register("toy", make_folder(tmp_path, b"b"), METADATA, "identity b")
    assert (first.number, second.number) == (1, 2)
    assert first.metadata == METADATA
    assert registry.register("toy", make_folder(tmp_path, b"a"), {}, "identity a") == first
    assert registry.versions("toy") == [first, second]
    assert registry.names() == ["toy"]
    assert registry.get("toy", 2) == second
    with pytest.raises(DataError, match="no version 3 of toy"):
        registry.set_alias("toy", "champion", 3, "wrong")
    assert registry.last_change("toy", "champion") == {}
    registry.set_alias("toy", "champion", 1, "first")
    registry.set_alias("toy", "champion", 2, "better")
    assert registry.champion("toy") == second
    change = registry.last_change("toy", "champion")
    assert (change["number"], change["previous"], change["reason"]) == (2, 1, "better")
    again = open_registry(registry_uri)
    assert again.champion("toy") == second
    folder = again.fetch(second, tmp_path / "cache")
    assert (folder / "captioner/model.safetensors").read_bytes() == b"b"
    assert again.fetch(second, tmp_path / "cache") == folder
    (folder / "captioner/model.safetensors").write_bytes(b"x")
    with pytest.raises(DigestError, match=r"model\.safetensors"):
        again.fetch(second, tmp_path / "cache")


def test_once_keys_are_named_all_is_signed(tmp_path, monkeypatch):
    uri = str(tmp_path / "registry")
    signing.new_key(tmp_path / "k.pem", tmp_path / "k.pub")
    unsigned = open_registry(uri).register("toy", make_folder(tmp_path, b"a"), {}, "a")
    monkeypatch.setenv("DICO_SIGNING_KEY", str(tmp_path / "k.pem"))
    signed = open_registry(uri).register("other", make_folder(tmp_path, b"b"), {}, "b")
    open_registry(uri).set_alias("other", "champion", 1, "good")
    monkeypatch.delenv("DICO_SIGNING_KEY")
    monkeypatch.setenv("DICO_VERIFY_KEY", str(tmp_path / "k.pub"))
    registry = open_registry(uri)
    assert registry.champion("other") == signed
    assert (registry.fetch(signed, tmp_path / "cache") / "signature.json").is_file()
    with pytest.raises(DigestError, match=r"000001\.json: not signed by a trusted key"):
        registry.versions("toy")
    with pytest.raises(DataError, match="not signed"):
        registry.fetch(unsigned, tmp_path / "cache")
    with pytest.raises(ConfigError, match="DICO_SIGNING_KEY"):
        registry.set_alias("other", "champion", 1, "again")
    alias = tmp_path / "registry/other/aliases/champion.json"
    alias.write_text(alias.read_text().replace("good", "best"))
    with pytest.raises(DigestError, match=r"champion\.json"):
        registry.champion("other")


@pytest.mark.parametrize("uri", ["kubeflow+http://x:80", "mlflow+sqlite:///x.db"])
def test_a_registry_of_records_needs_a_store(uri):
    with pytest.raises(ConfigError, match="add \\?store="):
        open_registry(uri)


@pytest.fixture
def server():
    pytest.importorskip("model_registry", reason="pip install 'dico-captioner[kubeflow]'")
    with ModelRegistryServer() as running:
        yield running


def test_kubeflow_is_told_the_run_and_the_scores(server, tmp_path):
    registry = open_registry(f"kubeflow+{server.url}?store={tmp_path}/store")
    version = registry.register("toy", make_folder(tmp_path, b"a"), METADATA, "a")
    (artifact,) = server.artifacts
    assert artifact["uri"] == version.uri
    lineage = {key: artifact[key] for key in artifact if key.startswith("modelSource")}
    assert lineage == {
        "modelSourceKind": "kfp",
        "modelSourceClass": "pipelinerun",
        "modelSourceId": "run-7",
        "modelSourceName": "run-7",
    }
    properties = server.versions[0]["customProperties"]
    assert properties["metric_cider"]["double_value"] == 1.25
    assert json.loads(properties["dico_metadata"]["string_value"]) == METADATA


@pytest.mark.parametrize(
    "path", ["/registered_models", "/model_versions", "/model_versions/1/artifacts"]
)
def test_a_lost_answer_of_kubeflow_is_no_second_version(server, tmp_path, path):
    registry = open_registry(f"kubeflow+{server.url}?store={tmp_path}/store")
    lost = []

    def lose(method, asked):
        lost.append((method, asked) == ("POST", path) and not any(lost))
        return lost[-1]

    server.lose = lose
    try:
        registry.register("toy", make_folder(tmp_path, b"a"), METADATA, "a")
    except TryAgainError:
        registry.register("toy", make_folder(tmp_path, b"a"), METADATA, "a")
    assert any(lost)
    assert [version["name"] for version in server.versions] == ["1"]
    assert len(server.artifacts) == 1


def test_another_model_under_the_number_is_left_alone(server, tmp_path):
    registry = open_registry(f"kubeflow+{server.url}?store={tmp_path}/store")
    registry.register("toy", make_folder(tmp_path, b"a"), METADATA, "a")
    numbers = registry._last_number
    registry._last_number = lambda name: 0 if len(server.versions) == 1 else numbers(name)
    taken = [v["id"] for v in server.versions]
    original = registry._create
    tried = []

    def create(name, number, properties):
        tried.append(number)
        if len(tried) == 1:
            registry._last_number = numbers
        return original(name, number, properties)

    registry._create = create
    assert registry.register("toy", make_folder(tmp_path, b"b"), METADATA, "b").number == 2
    assert tried == [1, 2]
    assert [v["id"] for v in server.versions][:1] == taken


def test_kubeflows_refusals_are_named(server, tmp_path):
    uri = f"kubeflow+{server.url}?store={tmp_path}/store"
    registry = open_registry(uri)
    for status, error in ((401, AccessError), (403, AccessError), (503, TryAgainError)):
        server.status = status
        with pytest.raises(error, match="the registry"):
            registry.versions("toy")
    server.__exit__()
    with pytest.raises(TryAgainError, match="did not answer"):
        open_registry(uri)


def test_an_older_server_is_named_with_the_client_that_fits(tmp_path):
    """Client 0.3.18 asks v1, which servers to 0.3.8 do not know."""
    pytest.importorskip("model_registry", reason="pip install 'dico-captioner[kubeflow]'")
    with ModelRegistryServer("v1alpha3") as server, pytest.raises(UsageError) as failure:
        open_registry(f"kubeflow+{server.url}?store={tmp_path}/store")
    line = str(failure.value)
    assert "\n" not in line
    assert "an older server needs an older client: pip install 'model-registry==0.3.14'" in line
