"""A submitted run in the terminal: its steps as they go, why it failed, its logs."""

import io
import re
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dico.errors import AccessError, UsageError
from dico_pipelines.cluster import watching
from dico_pipelines.cluster.connection import connection_from_environment
from dico_pipelines.cluster.listing import list_runs
from dico_pipelines.cluster.logs import show_logs
from dico_pipelines.cluster.steps import StepState
from dico_pipelines.cluster.submitting import submit
from dico_pipelines.cluster.watching import NoLongerWatchedError, RunFailedError, show_run
from tests.pipelines.cluster import kfp_server, kube_server
from tests.pipelines.cluster.argo import UNSCHEDULABLE, Workflow
from tests.pipelines.cluster.kfp_server import KfpServer
from tests.pipelines.cluster.kube_server import KubeServer

PIPELINE = Path(__file__).parents[3] / "pipelines" / "caption.yaml"
GIVEN = ["inputs=/data/in", f"image=registry.example/dico@sha256:{'0' * 64}"]
LOG = "reading\n\nerror: toy: has no champion\n"


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Kubeflow Pipelines, with no kubeconfig to ask Kubernetes by."""
    for name in ("NAMESPACE", "TOKEN_FILE", "EXISTING_TOKEN", "CA_CERT"):
        monkeypatch.delenv(f"KFP_{name}", raising=False)
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = KfpServer()
    with kfp_server.serving(server) as address:
        monkeypatch.setenv("KFP_ENDPOINT", address)
        yield server


@pytest.fixture
def failing(server):
    """A run whose first step fails at the second look."""
    server.states = ["RUNNING", "RUNNING", "FAILED"]
    server.workflow.begin().step("preflight", "Running")
    server.workflow.polls = [lambda workflow: workflow.step("preflight", "Failed", LOG, "exit 2")]
    return server


def wait(server):
    return submit(PIPELINE, GIVEN, wait=True, poll_seconds=0.01)


def test_waiting_shows_the_steps_and_why_one_failed(failing, capsys):
    with pytest.raises(RunFailedError, match="run-1: failed: preflight: toy: has no champion"):
        wait(failing)
    said = capsys.readouterr().out
    assert "> preflight" in said
    assert "✗ preflight" in said
    assert "the last lines of preflight:\n  | reading\n  | error: toy: has no champion" in said
    assert "failed after" in said


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("F1123 03:00:01.2 27 main.go:53] failed to execute component: exit status 65", 65),
        ("F1123 03:00:01.2 27 main.go:53] failed to execute component: exit status 137", 70),
        ("", 70),
    ],
)
def test_waiting_ends_with_the_code_of_the_step(server, end, code):
    """The launcher itself ends with 1 whatever the code was (its lines as issues of Kubeflow have them)."""
    server.states = ["FAILED"]
    after = (
        'time="2026-11-23T03:00:02Z" level=info msg="sub-process exited"\nError: exit status 1\n'
    )
    server.workflow.begin().step("preflight", "Failed", f"{LOG}{end}\n{after}")
    with pytest.raises(RunFailedError, match="toy: has no champion") as failure:
        wait(server)
    assert failure.value.exit_code == code


def test_a_run_is_shown_by_its_id(failing, capsys):
    with pytest.raises(RunFailedError):
        wait(failing)
    capsys.readouterr()
    (step,) = show_run("run-1")
    assert (step.name, step.state) == ("preflight", "failed")
    said = capsys.readouterr().out
    assert ": failed\n" in said
    assert "  | error: toy: has no champion" in said


def test_a_run_that_failed_without_a_step_says_where_to_look(server, capsys):
    server.states = ["FAILED"]
    run_id = submit(PIPELINE, GIVEN)
    capsys.readouterr()
    show_run(run_id)
    assert capsys.readouterr().out.endswith(
        ": failed\n  no step has begun\n  no step of it says why; "
        f"kubectl get workflow -l pipeline/runid={run_id} -o yaml\n"
    )


@pytest.mark.parametrize("look", [show_run, show_logs])
def test_a_run_that_is_not_there(server, look):
    with pytest.raises(UsageError, match="run nowhere: no such run; dico runs lists the latest"):
        look("nowhere")


@pytest.mark.parametrize("named", ["", " "])
def test_no_run_at_all(server, named):
    submit(PIPELINE, GIVEN)
    with pytest.raises(UsageError, match="name a run: its id, or its name"):
        show_logs(named)


@pytest.mark.parametrize("look", [show_run, show_logs])
def test_a_run_may_be_called_by_a_name_that_no_other_has(server, look, capsys):
    server.workflow.begin().step("preflight", "Succeeded", LOG)
    submit(PIPELINE, GIVEN, name="monday")
    submit(PIPELINE, GIVEN, name="tuesday")
    look("monday")
    assert "preflight" in capsys.readouterr().out
    asked = [path for _, path, _, _ in server.requests if "run-" in path]
    assert asked
    assert not any("run-2" in path for path in asked)
    submit(PIPELINE, GIVEN, name="monday")
    with pytest.raises(UsageError, match=r"run monday: 2 runs have this name; .*: run-3, run-1$"):
        look("monday")


def test_an_archived_run_is_shown_as_such(server, capsys):
    submit(PIPELINE, GIVEN, name="old")
    server.runs[0]["storage_state"] = "ARCHIVED"
    show_run("old")
    assert "old: succeeded, archived\n" in capsys.readouterr().out
    ((_, _, state, _, _),) = list_runs()
    assert state == "succeeded, archived"


def test_waiting_that_was_interrupted_is_taken_up_again(failing, monkeypatch, capsys):
    with monkeypatch.context() as patched:
        patched.setattr(watching.time, "sleep", interrupt)
        with pytest.raises(NoLongerWatchedError) as stopped:
            wait(failing)
    assert stopped.value.exit_code == 130
    said = "interrupted; the run goes on; dico runs run-1 --wait watches it again"
    assert str(stopped.value) == said
    with pytest.raises(RunFailedError, match="run-1: failed: preflight: toy: has no champion"):
        show_run("run-1", wait=True, poll_seconds=0.01)
    assert len(failing.runs) == 1


def interrupt(seconds):
    raise KeyboardInterrupt


def test_a_run_that_is_deleted_while_it_is_waited_for(server, monkeypatch):
    server.states = ["RUNNING"]
    monkeypatch.setattr(watching.time, "sleep", lambda seconds: server.runs.clear())
    with pytest.raises(UsageError, match="run run-1: is there no more; somebody deleted it"):
        wait(server)


def test_a_token_that_expires_while_a_run_is_waited_for(server, monkeypatch):
    server.states, server.token = ["RUNNING"], "first"
    monkeypatch.setenv("KFP_EXISTING_TOKEN", "first")
    monkeypatch.setattr(watching.time, "sleep", lambda seconds: setattr(server, "token", "second"))
    with pytest.raises(AccessError, match=r"has expired; .*; the run goes on; dico runs run-1 --w"):
        wait(server)


def test_logs_are_printed_by_step(failing, capsys):
    with pytest.raises(RunFailedError):
        wait(failing)
    capsys.readouterr()
    show_logs("run-1", "preflight")
    assert capsys.readouterr().out == LOG
    show_logs("run-1")
    assert capsys.readouterr().out == f"== preflight (failed)\n{LOG}"
    with pytest.raises(UsageError, match="no step train_evaluator; begun have preflight"):
        show_logs("run-1", "train_evaluator")
    with pytest.raises(UsageError, match=r"no step prefligth \(did you mean preflight\?\)"):
        show_logs("run-1", "prefligth")


@pytest.mark.parametrize(
    ("phase", "log", "words"),
    [
        ("Pending", None, "its pod has not begun; dico runs RUN says what it waits for"),
        ("Omitted", None, "taken from the cache, and the run that computed it has its log"),
        ("Succeeded", "", "it printed nothing, or its pod is gone"),
        ("Failed", None, "it printed nothing, or its pod is gone"),
    ],
)
def test_a_log_that_is_empty_is_said_to_be(server, capsys, phase, log, words):
    server.workflow.begin().step("preflight", phase, log)
    submit(PIPELINE, GIVEN)
    capsys.readouterr()
    show_logs("run-1", "preflight")
    said = capsys.readouterr().out
    assert said.startswith("note: preflight has no log: ")
    assert words in said


def test_logs_of_a_run_whose_first_step_has_not_begun(server):
    server.states = ["RUNNING"]
    submit(PIPELINE, GIVEN)
    with pytest.raises(UsageError, match="no step has begun yet; dico runs run-1 says what it"):
        show_logs("run-1")


def test_the_first_driver_of_a_run_that_waits_is_named(server, monkeypatch, capsys):
    """As in a namespace beside full Kubeflow that is no profile: nothing else of the run is there."""
    monkeypatch.setattr(watching, "SECONDS_PENDING", 0.0)
    server.states = ["RUNNING", "SUCCEEDED"]
    server.workflow.first_driver("Pending", 'secret "mlpipeline-minio-artifact" not found')
    wait(server)
    assert re.search(r"… root .*: .*; the namespace is no profile", capsys.readouterr().out)


class Screen(io.StringIO):
    """What is printed; ``seen`` is set once a text is there."""

    def __init__(self, text):
        super().__init__()
        self.text, self.seen = text, threading.Event()

    def write(self, text):
        written = super().write(text)
        if self.text in self.getvalue():
            self.seen.set()
        return written


def followed(server, monkeypatch, end):
    """What ``dico logs -f`` prints of a step whose second line comes after the first is printed."""
    screen = Screen("1/2 steps")
    waited = []

    def log():
        yield "1/2 steps\n"
        waited.append(screen.seen.wait(20))
        yield from end()

    server.workflow.begin().step("train-evaluator", "Running", log)
    submit(PIPELINE, GIVEN)
    monkeypatch.setattr(sys, "stdout", screen)
    show_logs("run-1", "train-evaluator", follow=True)
    assert waited == [True]
    return screen.getvalue().splitlines()


def test_a_log_is_followed_line_by_line(server, monkeypatch):
    assert followed(server, monkeypatch, lambda: ["2/2 steps\n"]) == ["1/2 steps", "2/2 steps"]


def test_a_followed_log_that_breaks_off_is_not_taken_for_whole(server, monkeypatch):
    def breaks():
        raise ConnectionResetError
        yield

    first, note = followed(server, monkeypatch, breaks)
    assert first == "1/2 steps"
    assert note.startswith("note: the connection to the log broke (")


@pytest.mark.parametrize(("seconds", "asked"), [(30, False), (61, True)])
def test_a_reason_is_asked_for_once_a_step_has_waited_a_minute(server, seconds, asked):
    """Other tests set the minute to 0, to see at the first look what is said."""
    server.workflow.begin().step("preflight", "Pending", message=UNSCHEDULABLE)
    started = datetime.now(UTC) - timedelta(seconds=seconds)
    step = StepState("preflight", "pending", started, None, ())
    reasons = watching._reasons(connection_from_environment("", "", ""), "run-1", [step])
    assert ('persistentvolumeclaim "dico" not found' in reasons.get("preflight", "")) is asked


def test_a_step_that_waits_is_never_called_running(server, monkeypatch, capsys):
    monkeypatch.setattr(watching, "SECONDS_PENDING", 0.0)
    server.states = ["RUNNING", "SUCCEEDED"]
    server.answers_v1beta1 = False
    server.workflow.begin().step("preflight", "Pending", message=UNSCHEDULABLE)
    wait(server)
    said = capsys.readouterr().out
    assert "… preflight" in said
    assert "kubectl describe pods -n kubeflow -l pipeline/runid=run-1 does" in said
    assert "> preflight" not in said


def test_a_kubeconfig_adds_what_the_scheduler_says(server, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(watching, "SECONDS_PENDING", 0.0)
    server.answers_v1beta1 = False
    server.states = ["RUNNING", "SUCCEEDED"]
    server.workflow.begin().step("preflight", "Pending", message=UNSCHEDULABLE)
    cluster = KubeServer()
    cluster.workflows = [server.workflow.to_kubernetes()]
    with kube_server.serving(cluster, tmp_path) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        wait(server)
    assert 'persistentvolumeclaim "dico" not found' in capsys.readouterr().out


def test_a_pod_that_could_not_be_made_has_its_reason_from_the_workflow(
    server, monkeypatch, tmp_path
):
    server.states, server.answers_v1beta1 = ["FAILED"], False
    message = 'pods "x" is forbidden: error looking up service account kubeflow/dico'
    server.workflow = Workflow("dico-1-2").begin()
    server.workflow.step("preflight", "", driver="Error", message=message)
    with pytest.raises(RunFailedError, match="its Workflow says why: kubectl get workflow"):
        wait(server)
    cluster = KubeServer()
    cluster.workflows = [server.workflow.to_kubernetes()]
    with kube_server.serving(cluster, tmp_path) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        with pytest.raises(RunFailedError, match=r"preflight: .*error looking up service account"):
            wait(server)


def test_a_server_that_restarts_is_waited_for(server, capsys):
    server.failures_of_runs = 3
    wait(server)
    assert "succeeded after" in capsys.readouterr().out
