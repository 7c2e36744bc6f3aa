"""Submitting, scheduling and listing with the real client, against the published API."""

import json
import os
import re
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
import yaml
from click.testing import CliRunner
from kfp_server_api import models

from dico.errors import AccessError, ConfigError, TryAgainError, UsageError
from dico_pipelines.cluster.listing import list_runs
from dico_pipelines.cluster.scheduling import schedule
from dico_pipelines.cluster.submitting import submit
from dico_pipelines.cluster.watching import RunFailedError
from tests.pipelines.cluster.kfp_server import KfpServer, serving
from tests.published_models import mistakes

PIPELINE = Path(__file__).parents[3] / "pipelines" / "dico.yaml"
VALUES = ["preset=toy", "seed=3", "store=s3://bucket/dico"]


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No settings of this machine."""
    for name in ("ENDPOINT", "NAMESPACE", "TOKEN_FILE", "EXISTING_TOKEN", "CA_CERT"):
        monkeypatch.delenv(f"KFP_{name}", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    return KfpServer()


@pytest.fixture
def endpoint(server, monkeypatch):
    with serving(server) as address:
        monkeypatch.setenv("KFP_ENDPOINT", address)
        yield address


def test_submit_sends_what_the_api_takes(server, endpoint, capsys):
    run_id = submit(PIPELINE, VALUES, name="first", service_account="dico", pipeline_root="s3://b")
    assert server.refused == []
    (run,) = server.runs
    assert run["run_id"] == run_id
    assert run["runtime_config"] == {
        "parameters": {"preset": "toy", "seed": 3, "store": "s3://bucket/dico"},
        "pipeline_root": "s3://b",
    }
    assert run["service_account"] == "dico"
    assert run["experiment_id"] == server.experiments[0]["experiment_id"]
    first, terminal, page = capsys.readouterr().out.splitlines()[-3:]
    assert first == f"submitted: run {run_id}"
    assert terminal == f"  in the terminal: dico runs {run_id}"
    assert page.startswith(
        "  in the UI: kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80"
    )
    assert page.endswith(f"http://localhost:8080/#/runs/details/{run_id}")


def test_a_server_with_pages_of_its_own_is_linked(server, endpoint, capsys):
    server.has_ui = True
    run_id = submit(PIPELINE, VALUES)
    said = capsys.readouterr().out
    assert said.endswith(f"  in the UI: {endpoint}/#/runs/details/{run_id}\n")


def test_what_is_sent_is_the_committed_file(server, endpoint):
    submit(PIPELINE, VALUES)
    sent = server.runs[0]["pipeline_spec"]
    specification, platform = yaml.safe_load_all(PIPELINE.read_text())
    assert sent["pipeline_spec"] == specification
    assert sent["platform_spec"] == platform


def test_settings_of_pods_keep_their_types(server, endpoint):
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    given = ['node_selector={"pool": "gpu"}', f"tolerations={json.dumps([toleration])}", "gpus=4"]
    submit(PIPELINE, [*VALUES, *given])
    assert server.refused == []
    values = server.runs[0]["runtime_config"]["parameters"]
    assert values["node_selector"] == {"pool": "gpu"}
    assert values["tolerations"] == [toleration]
    assert values["gpus"] == 4


@pytest.mark.parametrize("place", ["runs", "/data", "s3://", "file:///data", "https://bucket"])
def test_a_pipeline_root_that_is_no_bucket_is_refused(server, endpoint, place):
    with pytest.raises(UsageError, match=f"--pipeline-root: {place} is no bucket"):
        submit(PIPELINE, VALUES, pipeline_root=place)
    with pytest.raises(UsageError, match=f"--pipeline-root: {place} is no bucket"):
        schedule(PIPELINE, VALUES, name="a", cron="0 0 3 * * 0", pipeline_root=place)
    assert server.requests == []


def test_the_cache_can_be_left_out(server, endpoint):
    submit(PIPELINE, VALUES, caching=False)
    tasks = server.runs[0]["pipeline_spec"]["pipeline_spec"]["root"]["dag"]["tasks"]
    assert all(not task.get("cachingOptions", {}).get("enableCache") for task in tasks.values())


def test_waiting_ends_as_the_run_ends(server, endpoint, capsys):
    server.states = ["PENDING", "RUNNING", "SUCCEEDED"]
    submit(PIPELINE, VALUES, wait=True, poll_seconds=0.01)
    assert "succeeded after" in capsys.readouterr().out
    server.failures_of_runs = 3
    submit(PIPELINE, VALUES, wait=True, poll_seconds=0.01)
    server.states = ["RUNNING", "FAILED"]
    with pytest.raises(RunFailedError, match="run run-3: failed"):
        submit(PIPELINE, VALUES, wait=True, poll_seconds=0.01)


def test_a_schedule_exists_once_by_its_name(server, endpoint, capsys):
    weekly = {"name": "weekly", "cron": "0 0 3 * * 0"}
    schedule(PIPELINE, VALUES, **weekly)
    schedule(PIPELINE, ["preset=photos", "store=/data/store"], **weekly)
    schedule(PIPELINE, VALUES, name="other", cron="0 30 2 * * *", enabled=False)
    assert server.refused == []
    assert [run["display_name"] for run in server.recurring] == ["weekly", "other"]
    run, other = server.recurring
    assert run["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * 0"}}
    assert (run["mode"], other["mode"]) == ("ENABLE", "DISABLE")
    assert run["no_catchup"] is True
    assert run["max_concurrency"] == "1"
    assert run["runtime_config"]["parameters"] == {"preset": "photos", "store": "/data/store"}
    assert other["runtime_config"]["parameters"]["seed"] == 3
    said = capsys.readouterr().out
    assert "in place of 1 of this name" in said
    assert re.search(r"next run: Sunday \d{4}-\d\d-\d\d 03:00:00 UTC", said)


def test_a_schedule_that_could_not_be_replaced_is_said_to_fire_too(
    server, endpoint, monkeypatch, capsys
):
    monkeypatch.setenv("KFP_EXISTING_TOKEN", "t")
    schedule(PIPELINE, VALUES, name="weekly", cron="0 0 3 * * 0")
    server.may_delete = False
    with pytest.raises(
        AccessError, match=r"not allowed \(no\).*; the schedule that weekly replaces"
    ):
        schedule(PIPELINE, VALUES, name="weekly", cron="0 0 4 * * 0")
    assert "scheduled: weekly (recurring-2)" in capsys.readouterr().out
    assert len(server.recurring) == 2
    server.may_delete = True
    schedule(PIPELINE, VALUES, name="weekly", cron="0 0 4 * * 0")
    (left,) = server.recurring
    assert left["trigger"] == {"cron_schedule": {"cron": "0 0 4 * * 0"}}


def test_a_schedule_that_moves_to_another_experiment_exists_once(server, endpoint, capsys):
    schedule(PIPELINE, VALUES, name="weekly", cron="0 0 3 * * 0")
    schedule(PIPELINE, VALUES, name="weekly", cron="0 0 3 * * 0", experiment="photos")
    (left,) = server.recurring
    dico, photos = server.experiments
    assert (dico["display_name"], photos["display_name"]) == ("dico", "photos")
    assert left["experiment_id"] == photos["experiment_id"]


def test_a_refused_schedule_leaves_the_one_before(server, endpoint):
    schedule(PIPELINE, VALUES, name="weekly", cron="0 0 3 * * 0")
    (before,) = server.recurring
    with pytest.raises(ConfigError, match="five fields"):
        schedule(PIPELINE, VALUES, name="weekly", cron="0 3 * * 0")
    assert server.recurring == [before]


def test_runs_are_listed_in_columns(server, endpoint, capsys):
    submit(PIPELINE, VALUES, name="a")
    submit(PIPELINE, VALUES, name="a much\nlonger name")
    server.runs[0].update(state="SUCCEEDED", finished_at="2026-11-23T03:12:30Z")
    capsys.readouterr()
    rows = list_runs(num_runs=5, now=datetime(2026, 11, 23, 3, 1, tzinfo=UTC))
    assert server.refused == []
    assert rows[1][1:] == ("a", "succeeded", "2026-11-23 03:00", "12 min 30 s")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "run"
    assert len({line.index("2026") for line in lines[1:]}) == 1
    with pytest.raises(UsageError, match="experiment none: no such experiment"):
        list_runs(experiment="none")
    assert list_runs(experiment="dico")


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ((401, {"message": "unauthenticated"}), AccessError, "the token is missing; set KFP_TOKEN"),
        (
            (403, {"message": "no"}),
            AccessError,
            r"not allowed without a token \(no\); set KFP_TOKEN",
        ),
        ((403, "RBAC: access denied"), AccessError, r"without a token \(RBAC: access denied\)"),
        ((404, {"message": "x"}), UsageError, "is this the address of the API"),
        ((302, "<html>"), AccessError, "redirects to a login page"),
        ((200, "<!DOCTYPE html><html><body>Log in"), UsageError, "a web page, perhaps a login"),
        ((503, {}), TryAgainError, "not ready, it answers 503"),
        ((502, "<html>Bad Gateway</html>"), TryAgainError, "not ready, it answers 502$"),
    ],
)
def test_each_refusal_has_its_words(server, endpoint, answer, error, words):
    server.answer = answer
    with pytest.raises(error, match=words):
        submit(PIPELINE, VALUES, namespace="team")


def test_a_right_that_is_missing_names_the_namespace(server, endpoint, monkeypatch):
    monkeypatch.setenv("KFP_EXISTING_TOKEN", "s3cr3t")
    server.answer = 403, {"message": "no"}
    with pytest.raises(
        AccessError, match=r"not allowed in namespace team \(no\); ask for the role"
    ):
        submit(PIPELINE, VALUES, namespace="team")
    with pytest.raises(AccessError, match=r"not allowed \(no\); ask for the role"):
        submit(PIPELINE, VALUES)


@pytest.mark.parametrize("added", ["/", " ", "/#/runs/details/run-1", "?x=1"])
def test_what_a_browser_adds_to_an_address_is_left_out(server, endpoint, added):
    assert list_runs(endpoint=endpoint + added) == []


def test_the_same_api_at_another_address_is_no_login(server, endpoint):
    server.location = "https://kubeflow.example/pipeline/apis/v2beta1/healthz"
    server.answer = 308, ""
    with pytest.raises(UsageError, match=r"has moved to https://kubeflow.example/pipeline; give"):
        list_runs()
    server.location = "/oauth2/start?rd=/apis/v2beta1/healthz"
    with pytest.raises(AccessError, match="redirects to a login page"):
        list_runs()


@pytest.mark.parametrize(
    "address",
    ["localhost", "ftp://host", "http://", "http://host:99999", "http://host:port", "http://[::1"],
)
def test_an_address_that_is_none(address):
    with pytest.raises(UsageError, match="not an address; it is http:// or https://, a host"):
        list_runs(endpoint=address)


def test_a_password_in_an_address_is_refused_and_not_shown():
    with pytest.raises(UsageError, match=r"kubeflow.example: the address holds a user") as failure:
        list_runs(endpoint="https://me:s3cr3t@kubeflow.example/pipeline")
    assert "s3cr3t" not in str(failure.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"\xff\xfe", "ü".encode()])
def test_a_file_that_holds_no_token(endpoint, tmp_path, content):
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(AccessError, match="token: holds no token, which is one line"):
        list_runs(token_file=str(tmp_path / "token"))


def test_a_certificate_that_is_not_there(endpoint, monkeypatch):
    monkeypatch.setenv("KFP_CA_CERT", "/none.pem")
    with pytest.raises(AccessError, match=r"KFP_CA_CERT: /none.pem: there is no file"):
        list_runs()


def test_a_server_that_is_not_there():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{found.getsockname()[1]}"
    with pytest.raises(TryAgainError, match=r"cannot be reached \(connection refused\); check KFP"):
        list_runs(endpoint=address)
    with pytest.raises(UsageError, match="no address of Kubeflow Pipelines: set KFP_ENDPOINT"):
        list_runs()


def test_tokens_come_from_files_or_the_environment(server, endpoint, tmp_path, monkeypatch):
    server.token = "s3cr3t"
    monkeypatch.setenv("KFP_EXISTING_TOKEN", "s3cr3t-old")
    with pytest.raises(AccessError, match="the token is refused or has expired") as failure:
        list_runs()
    assert "s3cr3t" not in str(failure.value)
    (tmp_path / "token").write_text("s3cr3t\n")
    assert list_runs(token_file=str(tmp_path / "token")) == []
    monkeypatch.setenv("KFP_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(AccessError, match="none: the token cannot be read"):
        list_runs()


def test_a_server_of_many_users_wants_a_namespace(server, endpoint, monkeypatch):
    server.multi_user = True
    with pytest.raises(UsageError, match="name your profile by --namespace"):
        submit(PIPELINE, VALUES)
    monkeypatch.setenv("KFP_NAMESPACE", "team")
    submit(PIPELINE, VALUES)
    assert server.refused == []
    assert server.experiments[0]["namespace"] == "team"


def test_another_version_is_noted(server, endpoint, capsys):
    server.tag = "2.5.0"
    list_runs()
    assert "the server is Kubeflow Pipelines 2.5.0, the client kfp 2.17" in capsys.readouterr().out
    server.tag = "unknown"
    list_runs()
    assert capsys.readouterr().out == "no runs yet\n"


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        (["store=runs/store"], UsageError, "store: runs/store is a path of this machine"),
        (["store=s3://b", "dataset=photos.jsonl"], UsageError, "photos.jsonl is a path of this"),
        (["store=s3://b", "seed=x"], ConfigError, "seed: expected a whole number"),
        (["store=s3://b", "presets=toy"], ConfigError, "did you mean preset"),
        (["store=s3://b", "preset=nothing"], UsageError, "nothing"),
        (["store=s3://b", "overrides=xe.num_stps=2"], UsageError, "num_stps"),
        (["cpu=100m"], ConfigError, "cpu: must be at least 250m, which pods request; got 100m"),
        (["memory=16GB"], ConfigError, "memory: expected a quantity such as 4 or 16Gi"),
        (["gpus=-1"], ConfigError, "gpus: must be at least 0, got -1"),
        (['node_selector={"pool": 1}'], ConfigError, 'pool: expected a text such as "1" in quotes'),
        (['tolerations=[{"kye": "a"}]'], ConfigError, "tolerations: unknown field kye; known are"),
        (["image="], ConfigError, "image: '' is not the name of an image"),
        (["image=r.example/dico@sha256:..."], ConfigError, "sha256: and 64 digits"),
        (["volume="], ConfigError, "volume: '' is not a name in Kubernetes"),
    ],
)
def test_wrong_values_are_refused_before_anything_is_sent(server, endpoint, values, error, words):
    with pytest.raises(error, match=words):
        submit(PIPELINE, values)
    assert server.requests == []


@pytest.mark.parametrize("given", [[], ["inputs="]])
def test_what_has_no_default_must_be_given(server, endpoint, given):
    with pytest.raises(ConfigError, match=r"inputs: this parameter has no default; give inputs="):
        submit(FOLDER / "caption.yaml", given)
    assert server.requests == []


@pytest.mark.parametrize(
    ("body", "model", "expected"),
    [
        ({"display_name": "x"}, "V2beta1Run", []),
        ({"displayname": "x"}, "V2beta1Run", ["body.displayname: unknown field"]),
        ({"display_name": 3}, "V2beta1Run", ["body.display_name: 3 is no str"]),
        (
            {"trigger": {"cron_schedule": {"cron_expression": "x"}}},
            "V2beta1RecurringRun",
            ["body.trigger.cron_schedule.cron_expression: unknown field"],
        ),
    ],
)
def test_the_server_of_these_tests_refuses_what_is_wrong(body, model, expected):
    assert list(mistakes(body, model, models)) == expected


@pytest.mark.parametrize(
    "line",
    [
        "run create -e dico -f {file} preset=toy seed=3 store=s3://bucket/dico",
        "run submit -e dico -f {file} preset=toy seed=3 store=s3://bucket/dico",
    ],
)
def test_the_lines_of_the_guide_for_the_kfp_command(server, endpoint, line):
    from kfp.cli.cli import cli

    given = line.format(file=PIPELINE).split()
    done = CliRunner().invoke(cli, given, obj={}, auto_envvar_prefix="KFP")
    assert done.exit_code == 0, done.output
    assert server.refused == []
    values = server.runs[0]["runtime_config"]["parameters"]
    assert values == {"preset": "toy", "seed": 3, "store": "s3://bucket/dico"}


FOLDER = PIPELINE.parent
GIVEN = {
    "NUMBER_INTEGER": 3,
    "BOOLEAN": True,
    "STRUCT": {"pool": "gpu"},
    "LIST": [{"key": "gpu", "operator": "Exists"}],
}
TEXTS = {"preset": "toy", "overrides": "", "cpu": "4", "memory": "16Gi", "run_key": "007"}
TEXTS |= {"version": "3", "model_name": "2026", "gpu_type": "nvidia.com/gpu"}
TEXTS |= {"image": f"registry.example/dico@sha256:{'0' * 64}", "volume": "42", "secret": "007"}


def every_value(pipeline):
    """A value for each parameter; where a text is taken, often one that looks like a number."""
    parameters = next(yaml.safe_load_all(pipeline.read_text()))["root"]["inputDefinitions"]
    return {
        key: GIVEN.get(one["parameterType"], TEXTS.get(key, "s3://bucket/1"))
        for key, one in parameters["parameters"].items()
    }


def by_kfp(pipeline, values):
    """As ``kfp run create`` is called by hand: each value JSON, texts in quotes of their own."""
    from kfp.cli.cli import cli

    line = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    command = ["run", "create", "-e", "dico", "-f", str(pipeline), *line]
    done = CliRunner().invoke(cli, command, obj={}, auto_envvar_prefix="KFP")
    assert done.exit_code == 0, done.output


def by_submit(pipeline, values):
    submit(pipeline, as_texts(values))


def by_schedule(pipeline, values):
    schedule(pipeline, as_texts(values), name="weekly", cron="0 0 3 * * 0")


def by_the_ui(pipeline, values):
    """The UI sends what was typed, read by the parameter's type, as one JSON body."""
    specification, platform = yaml.safe_load_all(pipeline.read_text())
    body = {
        "display_name": "by hand",
        "pipeline_spec": {"pipeline_spec": specification, "platform_spec": platform},
        "runtime_config": {"parameters": values},
    }
    address = f"{os.environ['KFP_ENDPOINT']}/apis/v2beta1/runs"
    assert requests.post(address, json=body, timeout=30).status_code == 200


def as_texts(values):
    return [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in values.items()
    ]


@pytest.mark.parametrize("send", [by_kfp, by_submit, by_schedule, by_the_ui])
@pytest.mark.parametrize("name", ["dico", "retrain", "evaluate", "caption"])
def test_every_parameter_arrives_as_it_was_given(server, endpoint, name, send):
    pipeline = FOLDER / f"{name}.yaml"
    values = every_value(pipeline)
    send(pipeline, values)
    assert server.refused == []
    (sent,) = server.runs + server.recurring
    assert sent["runtime_config"]["parameters"] == values


def test_the_plain_client_sends_a_text_that_looks_like_a_number_as_one(server, endpoint):
    from kfp.cli.cli import cli

    command = ["run", "create", "-e", "dico", "-f", str(PIPELINE), "run_key=2026"]
    done = CliRunner().invoke(cli, command, obj={}, auto_envvar_prefix="KFP")
    assert done.exit_code != 0
    assert server.refused == ["input parameter run_key requires type STRING, got 2026"]


def by_plain_schedule(pipeline, *arguments):
    """As ``kfp recurring-run create`` is called by hand: it sends every value as text."""
    from kfp.cli.cli import cli

    command = ["recurring-run", "create", "--experiment-name", "dico", "--job-name", "weekly"]
    command += ["--cron-expression", "0 0 3 * * 0", "--enabled", "--no-catchup"]
    command += ["--pipeline-package-path", str(pipeline), *arguments]
    return CliRunner().invoke(cli, command, obj={}, auto_envvar_prefix="KFP")


@pytest.mark.parametrize("name", ["dico", "retrain", "evaluate", "caption"])
def test_the_plain_clients_schedule_takes_every_text(server, endpoint, name):
    pipeline = FOLDER / f"{name}.yaml"
    texts = {key: text for key, text in every_value(pipeline).items() if isinstance(text, str)}
    done = by_plain_schedule(pipeline, *as_texts(texts))
    assert done.exit_code == 0, done.output
    (made,) = server.recurring
    assert made["runtime_config"]["parameters"] == texts
    assert (made["mode"], made["no_catchup"]) == ("ENABLE", True)
    assert made["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * 0"}}


def test_the_plain_clients_schedule_sends_numbers_as_texts(server, endpoint):
    assert by_plain_schedule(FOLDER / "retrain.yaml", "seed=1").exit_code != 0
    assert server.refused == ["input parameter seed requires type NUMBER_INTEGER, got '1'"]
    assert server.recurring == []


@pytest.mark.parametrize("seed", [2**53, -(2**53), 2**53 + 1])
def test_numbers_that_kubeflow_would_round_are_refused(server, endpoint, seed):
    with pytest.raises(ConfigError, match=f"seed: {seed} is 2.53 or more, which Kubeflow would"):
        submit(PIPELINE, [f"seed={seed}"])
    assert server.requests == []
    submit(PIPELINE, [f"seed={2**53 - 1}"])
    assert server.runs[0]["runtime_config"]["parameters"]["seed"] == 2**53 - 1
