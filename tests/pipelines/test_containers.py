"""The image, and the pipeline with every step in a container of its own: `make test-image`.

The very file that is submitted to a cluster runs here, as a user that no file knows, on a read-only
root, without capabilities, and without a network where a step needs none.
"""

import json
import os
import random
import re
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest
import yaml

from dico.registry import open_registry
from dico_pipelines.compile import FOLDER
from dico_pipelines.local.containers import RUN_ARGUMENTS, Containers
from dico_pipelines.local.runner import StepFailedError, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("DICO_TEST_IMAGE"), reason="needs the image; run it by make test-image"
    ),
    pytest.mark.timeout(3600),  # two of the tests train; nothing else here takes a minute
]
IMAGE = os.environ.get("DICO_TEST_IMAGE", "")

# By default the toy recipe as `make run` trains it.
OVERRIDES = os.environ.get("DICO_TEST_OVERRIDES", "")
TINY = (
    "toy.num_train=48 toy.num_validation=12 toy.num_test=24 "
    "evaluator.num_word_steps=2 evaluator.num_pac_steps=2 evaluator.batch_size=16 "
    "judge.num_word_steps=2 judge.num_pac_steps=2 judge.batch_size=16 "
    "xe.num_steps=3 xe.batch_size=40 xe.micro_batch_size=20 xe.num_validation_images=6 "
    "finetune.num_steps=2 finetune.num_validation_images=6 finetune.batch_size=4 "
    "evaluation.num_resamples=50 evaluation.meteor=false audit.allow_unfit=true"
)


@pytest.fixture(scope="module")
def client():
    docker = pytest.importorskip("docker")
    engine = docker.from_env()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def user():
    """A user and a group that the image does not know."""
    number = random.randrange(20_000, 60_000)
    return f"{number}:{number}"


@pytest.fixture
def runs(tmp_path, client, user):
    """A folder for runs where the containers' user may write; emptied by that user."""
    folder = tmp_path / "runs"
    for name in (".cache/outputs", "store", "registry"):
        (folder / name).mkdir(parents=True)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o777)
    yield folder
    shell(client, user, f"rm -rf {folder}/* {folder}/.cache/outputs/*", {str(folder): "rw"})
    shutil.rmtree(folder, ignore_errors=True)


def shell(client, user, script, folders=None, command=None):
    """Output of a script in a container locked in as a step is."""
    log = LogText()
    containers = Containers(IMAGE, folders or {}, user)
    code = containers.run(client, command or ["sh", "-c", script], {}, log, {}, RUN_ARGUMENTS)
    return code, log.text


class LogText:
    """Collects what a container prints."""

    def __init__(self):
        self.text = ""

    def write(self, chunk):
        self.text += chunk.decode(errors="replace")

    def flush(self):
        pass


def test_the_image_says_what_it_is_and_stands_in_nobodys_way(client):
    config = client.images.get(IMAGE).attrs["Config"]
    assert not config["Entrypoint"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", config["User"])
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == "0.1.0"
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", labels["org.opencontainers.image.revision"])
    variables = dict(line.split("=", 1) for line in config["Env"])
    caches = {k: v for k, v in variables.items() if "CACHE" in k or k.endswith("_HOME")}
    assert len(caches) >= 5
    assert all(value.startswith("/tmp/") for value in caches.values()), caches
    assert not any("PIP_INDEX" in name for name in variables)


def test_nothing_can_be_installed_or_compiled(client, user):
    for program in ("pip", "pip3", "gcc", "cc", "make", "curl"):
        code, text = shell(client, user, f"command -v {program}")
        assert code != 0, text
    code, text = shell(client, user, "python -m pip --version")
    assert "No module named pip" in text


def test_an_unknown_user_on_a_read_only_root_has_what_the_steps_need(client, user):
    number = user.partition(":")[0]
    script = (
        "import getpass, os, tempfile, torch, kfp, transformers, great_expectations, dico;"
        "assert getpass.getuser(); tempfile.mkstemp();"
        "from dico.process.provenance import code_version;"
        "print(os.getuid(), dico.__version__, os.path.expanduser('~'))"
    )
    code, text = shell(client, user, "", command=["python3", "-c", script])
    assert code == 0, text
    assert text.splitlines()[-1] == f"{number} 0.1.0 /tmp"
    for place in ("/dico", "/etc", "/"):
        code, text = shell(client, user, f"touch {place}/x")
        assert code != 0, place
    assert shell(client, user, "java -version")[0] == 0


def test_every_step_in_its_own_container_without_a_network(runs, user):
    before = (FOLDER / "dico.yaml").read_bytes()
    folder = run(
        FOLDER / "dico.yaml", [f"overrides={OVERRIDES}", f"image={IMAGE}"], runs, "toy", True, user
    )
    assert (FOLDER / "dico.yaml").read_bytes() == before
    summary = json.loads((folder / "run.json").read_text())
    assert {step["status"] for step in summary["steps"]} == {"done"}
    specification = next(yaml.safe_load_all(before))
    assert len(summary["steps"]) == len(specification["deploymentSpec"]["executors"])
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    assert {"dico", "xe", "human"} <= set(metrics["systems"])
    assert "meteor" in metrics["systems"]["dico"]
    gain = metrics["differences"]["dico - xe"]["pac_score"]
    assert gain["low"] > 0
    captions = (folder / "captions" / "dico.jsonl").read_text().splitlines()
    assert len(captions) == metrics["num_images"]
    assert "The toy dataset" in (folder / "report.html").read_text()
    (version,) = open_registry(runs / "registry").versions("toy")
    assert version.number == 1
    notes = json.loads((folder / "summary.json").read_text())
    assert (notes["state"], notes["failed_step"]) == ("SUCCEEDED", "")
    assert notes["facts"]["version"] == "1"
    owner = int(user.partition(":")[0])
    assert (runs / "registry" / "toy").stat().st_uid == owner


def test_a_failing_step_keeps_its_exit_code_and_is_named_in_the_summary(runs, user):
    store = runs / "store"
    store.chmod(0o555)
    try:
        with pytest.raises(
            StepFailedError, match=rf"preflight: store: {store}: user .* may not"
        ) as failed:
            run(FOLDER / "dico.yaml", [f"image={IMAGE}"], runs, "locked", True, user)
    finally:
        store.chmod(0o777)
    assert failed.value.exit_code == 77
    steps = json.loads((runs / "locked" / "run.json").read_text())["steps"]
    assert [step["step"] for step in steps if step["status"] == "failed"] == ["preflight"]
    assert steps[-1]["step"] == "summarise_run"


@pytest.fixture
def bucket(monkeypatch):
    """A new bucket on a real S3 server, which the environment then names."""
    if os.environ.get("DICO_TEST_S3"):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", os.environ["DICO_TEST_S3"])
    else:
        server = Path(__file__).resolve().parents[3] / "shared" / "tools" / "s3-server"
        if not server.is_file():
            pytest.skip("no real S3 server; set DICO_TEST_S3 to the endpoint of one")
        said = subprocess.run([server], capture_output=True, text=True, check=True).stdout
        for name, value in re.findall(r"(AWS_\w+)=(\S+)", said):
            monkeypatch.setenv(name, value)
    import boto3

    name = f"dico-{uuid.uuid4().hex[:8]}"
    boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"]).create_bucket(Bucket=name)
    return f"s3://{name}"


def test_the_pipeline_against_a_real_object_store(runs, user, bucket):
    arguments = [f"overrides={TINY}", f"image={IMAGE}"]
    places = [f"store={bucket}/store", f"registry={bucket}/registry"]
    folder = run(FOLDER / "dico.yaml", [*arguments, *places], runs, "s3", True, user)
    assert json.loads((folder / "run.json").read_text())["status"] == "done"
    (version,) = open_registry(f"{bucket}/registry").versions("toy")
    assert version.uri.startswith(f"{bucket}/registry/")
    assert not list((runs / "store").iterdir())
    fetched = open_registry(f"{bucket}/registry").fetch(version, runs / "fetched")
    weights = "captioner/model.safetensors"
    assert (fetched / weights).read_bytes() == (
        folder / "models/dico/model.safetensors"
    ).read_bytes()


def test_no_secret_is_in_anything_that_a_run_leaves(runs, user, bucket, monkeypatch):
    """A run that fails at the first step, with a wrong secret for the object store."""
    secret = uuid.uuid4().hex
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    places = [f"store={bucket}/store", f"registry={bucket}/registry"]
    with pytest.raises(StepFailedError, match=r"preflight: store: .*access denied") as failed:
        run(FOLDER / "dico.yaml", [f"image={IMAGE}", *places], runs, "denied", True, user)
    assert failed.value.exit_code == 77
    for path in runs.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
