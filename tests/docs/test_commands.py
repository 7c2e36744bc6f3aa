"""Every command of every page, typed as it stands with what `tests.docs.plan` says: make test-docs."""

import os
import shlex
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.docs import stage as stages
from tests.docs.pages import commands
from tests.docs.plan import Way, rule_of, words_of
from tests.pipelines.cluster.kfp_server import KfpServer, serving
from tests.reliability.s3_server import s3_server
from tests.storage.conftest import make_client

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),  # the first one trains what the others use
    pytest.mark.skipif(not os.environ.get("DICO_TEST_DOCS"), reason="minutes; make test-docs"),
]
SECONDS_TO_START = 120


def of(way):
    found = [command for command in commands() if rule_of(command).way is way]
    return [pytest.param(command, id=f"{command.page}: {command}"[:110]) for command in found]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("stage")
    stages.build(made)
    return made


@pytest.fixture(scope="module")
def bucket(folder):
    """The dataset of the pages at s3://bucket/photos, on an S3 server of this machine."""
    with s3_server() as url:
        client = make_client(url)
        for name in ("bucket", "example-dico"):
            client.create_bucket(Bucket=name)
        for path in [folder / "toy/dataset.jsonl", *sorted((folder / "toy/images").iterdir())]:
            name = path.relative_to(folder / "toy")
            client.upload_file(str(path), "bucket", f"photos/{name}")
            client.upload_file(str(path), "example-dico", f"dataset/{name}")
        yield


@pytest.fixture(scope="module")
def trained(folder):
    stages.build_trained(folder)


@pytest.mark.parametrize("command", of(Way.RUN))
def test_it_runs(command, folder, bucket, request):
    if rule_of(command).trained:
        request.getfixturevalue("trained")
    done = stages.typed(folder, words_of(command), command.variables)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr


@pytest.fixture
def cluster(monkeypatch, tmp_path, folder):
    """Kubeflow Pipelines with one run, of which one step's log is kept; no kubeconfig."""
    for name in ("NAMESPACE", "TOKEN_FILE", "EXISTING_TOKEN", "CA_CERT"):
        monkeypatch.delenv(f"KFP_{name}", raising=False)
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = KfpServer()
    server.workflow.begin().step("train-evaluator", "Succeeded", "evaluator: 2/2 steps\n")
    with serving(server) as address:
        monkeypatch.setenv("KFP_ENDPOINT", address)
        done = stages.typed(folder, [stages.DICO, "submit", "pipelines/dico.yaml"])
        assert done.returncode == 0, done.stderr
        yield server, address


@pytest.mark.parametrize("command", of(Way.CLUSTER))
def test_the_cluster_takes_it(command, cluster, folder, bucket):
    server, address = cluster
    words = [word.replace("ENDPOINT", address) for word in words_of(command)]
    done = stages.typed(folder, words)
    assert server.refused == []
    assert done.returncode == 0, f"{done.stdout[-1500:]}\n{done.stderr[-1500:]}"


@pytest.mark.parametrize("command", of(Way.SERVE))
def test_it_answers(command, folder, trained, tmp_path):
    """On a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [*words_of(command), "--port", str(port)]
    log = tmp_path / "log"
    places = f"{Path(stages.DICO).parent}{os.pathsep}{os.environ['PATH']}"
    with log.open("w") as file:
        process = subprocess.Popen(
            words, cwd=folder, env=os.environ | {"PATH": places}, stdout=file, stderr=file
        )
        try:
            page = answer_of(process, f"http://127.0.0.1:{port}/")
        finally:
            process.terminate()
            process.wait(30)
    assert b"<html" in page, f"{shlex.join(words)}: {log.read_text()[-2000:]}"


def answer_of(process, url):
    """The page at ``url`` as soon as it is there; nothing where the process ended before."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(SECONDS_TO_START * 4):
        if process.poll() is not None:
            return b""
        try:
            with opener.open(url, timeout=5) as answer:
                return answer.read()
        except OSError:
            time.sleep(0.25)
    return b""
