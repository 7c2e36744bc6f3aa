"""dico doctor: what it looks at, what it finds missing, and the code that it ends with."""

import os

import pytest

from dico.cli import main
from dico.cli.doctor import _credentials
from tests.pipelines.cluster.kfp_server import KfpServer, serving


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    for name in os.environ:
        if name.startswith(("AWS_", "KFP_", "KUBERNETES_", "DICO_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main(["doctor", *arguments])
    captured = capsys.readouterr()
    return left.value.code, captured.out, captured.err


def lines(table):
    return {line[6:].split("  ")[0].strip(): line for line in table.splitlines()}


def test_a_table_in_columns(capsys):
    code, out, err = call(capsys)
    assert (code, err) == (0, "")
    found = lines(out)
    assert {"dico", "python", "torch", "kfp", "here", "GPUs", "memory", "runs"} <= set(found)
    assert "no pod, user" in found["here"]
    assert "kubeflow pipelines" not in found


def test_places_are_written_to_and_left_clean(capsys, tmp_path):
    (tmp_path / "store").mkdir()
    code, out, _ = call(capsys, "--store", str(tmp_path / "store"), "--registry", "new/registry")
    assert code == 0
    assert "read and written" in lines(out)["store"]
    assert os.listdir(tmp_path / "store") == []


def test_a_bucket_without_credentials(capsys):
    code, out, err = call(capsys, "--store", "s3://bucket/prefix")
    assert code == 77
    assert lines(out)["credentials"].startswith("MISS")
    assert "credentials: set AWS_ACCESS_KEY_ID" in err


def test_credentials_are_named_and_never_shown(capsys, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASECRET")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    found = _credentials()
    assert found.found == "from variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    assert "s3cr3t" not in str(found)
    assert "AKIASECRET" not in str(found)


def test_gpus_that_are_not_there(capsys):
    import torch

    code, _, err = call(capsys, "--gpus", "64")
    assert code == 70
    assert f"GPUs: 64 asked for, {torch.cuda.device_count()} visible" in err


def test_a_dataset_that_is_not_there(capsys):
    code, out, err = call(capsys, "--dataset", "nowhere.jsonl")
    assert code == 65
    assert lines(out)["dataset"].startswith("MISS")
    assert "nowhere.jsonl" in err


def test_a_kubeflow_server(capsys, monkeypatch):
    server = KfpServer()
    with serving(server) as address:
        code, out, _ = call(capsys, "--endpoint", address)
        assert code == 0
        assert f"2.17.0 at {address}, client 2.17" in lines(out)["kubeflow pipelines"]
        server.tag = "2.5.0"
        monkeypatch.setenv("KFP_ENDPOINT", address)
        code, out, _ = call(capsys)
        assert code == 0
        assert lines(out)["kubeflow pipelines"].startswith("note")
        server.token = "x"
        code, _, err = call(capsys)
        assert code == 77
        assert "the token is missing" in err
    code, _, err = call(capsys)
    assert code == 75
    assert "cannot be reached (connection refused)" in err
