"""What ``dico serve`` is asked to serve, and what it refuses before it listens."""

import shutil
import subprocess
import sys

import pytest

from dico.errors import ConfigError, DataError, DigestError, UsageError
from dico.registry import open_registry, signing
from dico.serving.config import read_settings
from dico.serving.model import ServedModel
from dico.serving.source import find_source
from dico.storage import open_store
from tests.serving import tiny


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    return tiny.make_version(tmp_path_factory.mktemp("source") / "version")


@pytest.fixture
def registry(version, tmp_path):
    shutil.copytree(version, tmp_path / "version")
    opened = open_registry(tmp_path / "registry")
    opened.register("a", tmp_path / "version", {}, identity="one")
    return opened


def test_by_name_alias_and_number(registry):
    registry.set_alias("a", "champion", 1, "first")
    registry.set_alias("a", "canary", 1, "a trial")
    for model in ("", "a", "a@champion", "a@canary", "a@1"):
        source = find_source(model, registry.uri)
        assert (source.name, source.version) == ("a", "1")
        assert source.digest == registry.get("a", 1).digest


@pytest.mark.parametrize(
    ("model", "error", "reason"),
    [
        ("b", UsageError, "no model 'b'; registered are a"),
        ("a", UsageError, "a: no version was good enough to be champion; the newest is a@1"),
        ("a@best", DataError, "no alias .best."),
        ("a@2", DataError, "no version 2"),
        ("a@", UsageError, "not a name"),
        ("../a", UsageError, "not a name"),
        ("a b", UsageError, "not a name"),
        ("ftp://a/b", ConfigError, "unknown store"),
    ],
)
def test_what_is_not_there(registry, model, error, reason):
    with pytest.raises(error, match=reason):
        find_source(model, registry.uri)


def test_an_empty_registry(tmp_path):
    with pytest.raises(UsageError, match="no registered model"):
        find_source("", str(tmp_path))


def test_a_folder_and_a_uri(version, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    open_store(tmp_path).publish(version, "models/x")
    by_folder = find_source(str(version), "unused", "mine")
    by_uri = find_source(f"file://{tmp_path}/models/x", "unused")
    assert (by_folder.name, by_uri.name) == ("mine", "dico")
    assert by_folder.version == by_uri.version == by_folder.digest[:12]


def test_a_changed_byte_is_not_served(registry, tmp_path):
    folder = find_source("a@1", registry.uri).folder
    ServedModel(find_source("a@1", registry.uri))
    weights = folder / "captioner" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(DigestError, match=r"model\.safetensors: its bytes changed"):
        find_source("a@1", registry.uri)
    with pytest.raises(DigestError, match=r"model\.safetensors: its bytes changed"):
        ServedModel(find_source(str(folder), ""))


def test_a_signature_where_keys_are_trusted(version, tmp_path, monkeypatch):
    folder = shutil.copytree(version, tmp_path / "version")
    signing.new_key(tmp_path / "key.pem", tmp_path / "key.pub")
    assert not ServedModel(find_source(str(folder), "")).signed
    monkeypatch.setenv(signing.PUBLIC_KEY_VARIABLE, str(tmp_path / "key.pub"))
    with pytest.raises(DataError, match="not signed"):
        ServedModel(find_source(str(folder), ""))
    signing.sign(folder, tmp_path / "key.pem")
    assert ServedModel(find_source(str(folder), "")).signed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("max_batchs=3", r"settings\.max_batchs: unknown setting \(did you mean max_batch"),
        ("max_batch=0", r"settings\.max_batch: must be at least 1, got 0"),
        ("max_wait_ms=-1", r"settings\.max_wait_ms: must be at least 0"),
        ("max_wait_ms=nan", r"settings\.max_wait_ms: expected a finite number"),
        ("max_batch", "expected name=value"),
        ("max_queue=many", r"settings\.max_queue: expected int, got 'many'"),
        ("max_images=900", r"settings\.max_images: must not exceed max_queue"),
    ],
)
def test_wrong_settings_are_named(text, reason):
    with pytest.raises(ConfigError, match=reason):
        read_settings(text)


def test_the_command_refuses_in_one_line(tmp_path):
    command = [sys.executable, "-m", "dico", "serve", "a", "--registry", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no registered model" in done.stderr
