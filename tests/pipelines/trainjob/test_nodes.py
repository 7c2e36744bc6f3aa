"""A TrainJob over HTTP with the real client: created, followed, found again, cancelled."""

import gc
import os
import signal

import pytest
from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

from dico.errors import AccessError, DicoError, TryAgainError, UsageError
from dico.launching import launch
from dico.launching.nodes import FAILURE, OUTPUT, hand_over
from dico.storage import open_store
from dico_pipelines.cluster.health import check_rights
from dico_pipelines.trainjob.following import asked_for
from dico_pipelines.trainjob.nodes import run_nodes
from tests.pipelines.trainjob.kubernetes_server import KubernetesServer, pod, serving

RUNNING, COMPLETE = {}, {"Complete": "True"}
POD = {
    "resources": {"limits": {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "4"}},
    "node_selector": {"pool": "gpu"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
}


@pytest.fixture
def server():
    return KubernetesServer()


@pytest.fixture
def cluster(server):
    with serving(server) as cluster:
        yield cluster


@pytest.fixture
def arguments(tmp_path, server):
    """Arguments of a step; the server's last state hands its output back."""
    (tmp_path / "manifest").write_text("rows")
    given = {
        "manifest": str(tmp_path / "manifest"),
        "config": "{}",
        "store": str(tmp_path / "store"),
        "output_captioner": str(tmp_path / "captioner"),
    }
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "model").write_text("weights")
    key = hand_over("pretrain_captioner", given).key
    store = open_store(given["store"])
    server.done = lambda: store.publish(tmp_path / "made", f"{key}/{OUTPUT}")
    return given


def run(cluster, arguments, pod=POD):
    run_nodes("pretrain_captioner", arguments, 4, 2, pod, pause=0.01, cluster=cluster)


def test_a_step_on_two_nodes(server, cluster, arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("DICO_RUN", "run-1")
    unscheduled = {
        "type": "PodScheduled", "status": "False", "message": "0/5 nodes: 5 Insufficient gpu",
    }  # fmt: skip
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    server.script = [
        (RUNNING, [], []),
        ({"Suspended": "True"}, [], []),
        (RUNNING, [pod(0, "Pending", conditions=[unscheduled]), pod(1, "Pending")], []),
        (RUNNING, [pod(0), pod(1, "Pending", containerStatuses=[{
            "name": "node", "image": "x", "imageID": "", "ready": False, "restartCount": 0,
            "state": waiting,
        }])], ["2026-11-23T03:00:00.1Z step 1"]),
        (RUNNING, [pod(0), pod(1)], ["2026-11-23T03:00:00.1Z step 1", "2026-11-23T03:00:01Z step 2"]),
        (COMPLETE, [pod(0, "Succeeded"), pod(1, "Succeeded")], ["2026-11-23T03:00:02Z done"]),
    ]  # fmt: skip
    run(cluster, arguments)
    assert (tmp_path / "captioner" / "model").read_text() == "weights"
    name = server.created[0]["metadata"]["name"]
    said = [
        line.removeprefix(f"TrainJob {name}: ") for line in capsys.readouterr().out.splitlines()
    ]
    assert said == [
        "created, 2 nodes",
        "suspended; a queue may be holding it until there is room",
        "0 of 2 pods running (asked for 2 nodes x 8 CPUs, 64 GiB, 4 nvidia.com/gpu); "
        "not scheduled: 0/5 nodes: 5 Insufficient gpu; "
        "ask for less by cpu=, memory=, gpus=, node_selector=, or add a node",
        "1 of 2 pods running; ImagePullBackOff: no such image; push the image and give "
        "image=REGISTRY/dico@sha256:..., or load it into the nodes: kind load docker-image",
        "step 1",
        "2 of 2 pods running",
        "step 2",
        "done",
    ]
    assert server.jobs == {}


def test_the_object_is_one_that_trainer_takes(server, cluster, arguments, monkeypatch):
    monkeypatch.setenv("DICO_RUN", "run-1")
    server.script = [(COMPLETE, [], [])]
    run(cluster, arguments)
    (job,) = server.created
    # The published model drops what it does not know, so what comes back whole is known.
    assert TrainerV1alpha1TrainJob.from_dict(job).to_dict() == job
    trainer = job["spec"]["trainer"]
    assert trainer["image"] == "registry.example/dico@sha256:0"
    assert trainer["command"][:4] == ["python3", "-m", "dico.launching", "node"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 4)
    assert trainer["resourcesPerNode"] == POD["resources"]
    assert [variable["name"] for variable in trainer["env"]] == [
        "DICO_WORK", "AWS_ACCESS_KEY_ID", "DICO_RUN",
    ]  # fmt: skip
    assert trainer["env"][2] == {"name": "DICO_RUN", "value": "run-1"}
    (patch,) = job["spec"]["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    spec = replicated["template"]["spec"]["template"]["spec"]
    assert spec == {
        "serviceAccountName": "dico",
        "nodeSelector": {"pool": "gpu"},
        "tolerations": POD["tolerations"],
        "volumes": [{"name": "dico", "persistentVolumeClaim": {"claimName": "dico"}}],
        "containers": [{"name": "node", "volumeMounts": [{"name": "dico", "mountPath": "/data"}]}],
    }
    assert len(job["metadata"]["name"]) < 50


def test_a_step_started_again_follows_the_trainjob_that_is_there(
    server, cluster, arguments, capsys
):
    server.script = [(RUNNING, [], []), (RUNNING, [pod(0)], ["1 on"])]
    server.refuse = {("GET", "pods"): (418, {"message": "the step's pod dies here"})}
    with pytest.raises(UsageError, match="dies here"):
        run(cluster, arguments)
    server.refuse = {}
    server.script, server.step = [(RUNNING, [], []), (COMPLETE, [], [])], 0
    run(cluster, arguments)
    assert len(server.created) == 1
    assert "already running; following it" in capsys.readouterr().out
    before = len(server.requests)
    run(cluster, arguments)  # a third time: nothing is left to do
    assert len(server.requests) == before


def test_two_steps_that_create_at_once_share_one_trainjob(server, cluster):
    job = {"metadata": {"name": "x"}}
    assert cluster.create(job) == job
    assert cluster.create(job)["metadata"] == {"name": "x"}
    assert server.created == [job]


def test_a_failed_trainjob_is_replaced(server, cluster, arguments, capsys):
    server.script = [({"Failed": "True"}, [], [])]
    with pytest.raises(DicoError, match="R: m; look at it by: kubectl describe trainjob -n team"):
        run(cluster, arguments)
    (name,) = server.jobs
    server.jobs[name]["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
    server.script, server.step = [(COMPLETE, [], [])], 0
    run(cluster, arguments)
    assert len(server.created) == 2
    assert "ended earlier; replaced, it resumes" in capsys.readouterr().out


def test_the_nodes_own_words_and_code_are_kept(server, cluster, arguments):
    server.script = [(RUNNING, [], []), ({"Failed": "True"}, [], [])]
    key = hand_over("pretrain_captioner", arguments).key
    store = open_store(arguments["store"])
    said = b'{"message": "node 1, rank 5: loss is NaN at step 3", "exit_code": 70}'
    original = server.handle

    def handling(method, url, body):
        if method == "GET" and server.created:
            store.create(f"{key}/{FAILURE}", said)
        return original(method, url, body)

    server.handle = handling
    with pytest.raises(DicoError, match="node 1, rank 5: loss is NaN at step 3") as failure:
        run(cluster, arguments)
    assert failure.value.exit_code == 70


# The request that the signal interrupts leaves its socket to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_sigterm_deletes_the_trainjob(server, cluster, arguments):
    server.script = [(RUNNING, [pod(0)], [])]
    original = server.handle

    def handling(method, url, body):
        if url.endswith("/log") or "/log?" in url:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(method, url, body)

    server.handle = handling
    with pytest.raises(TryAgainError, match="cancelled, with its TrainJob"):
        run(cluster, arguments)
    gc.collect()
    assert len(server.created) == 1
    assert server.jobs == {}


def test_a_trainjob_that_somebody_deletes(server, cluster, arguments):
    server.script = [(RUNNING, [], [])]
    original = server.handle

    def handling(method, url, body):
        if "/pods?" in url:
            server.jobs.clear()
            return 200, {"apiVersion": "v1", "kind": "PodList", "items": []}
        return original(method, url, body)

    server.handle = handling
    with pytest.raises(DicoError, match="deleted by somebody else"):
        run(cluster, arguments)


def test_kubernetes_may_be_away_for_a_while(server, cluster, arguments, capsys):
    server.script = [(RUNNING, [pod(0)], []), (COMPLETE, [], [])]
    server.failures_after_creation = [503, 500, 429]
    run(cluster, arguments)
    assert "Kubernetes cannot" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (403, AccessError, "may not create the TrainJob in namespace team .*service account dico"),
        (404, UsageError, "is Kubeflow Trainer 2 installed"),
        (422, UsageError, r"refuses to create the TrainJob \(422\) \(no runtime dico\)"),
        (500, TryAgainError, "cannot create the TrainJob now"),
    ],
)
def test_each_refusal_has_its_words(server, cluster, arguments, status, error, words):
    server.refuse = {("POST", "trainjobs"): (status, {"message": "no runtime dico"})}
    with pytest.raises(error, match=words):
        run(cluster, arguments)


def test_only_what_the_role_allows_is_asked_for(server, cluster, arguments):
    server.script = [(RUNNING, [pod(0)], []), (COMPLETE, [pod(0)], [])]
    run(cluster, arguments)
    kinds = {
        (method, "pods" if "/pods" in path else "trainjobs") for method, path in server.requests
    }
    assert kinds == {
        ("GET", "pods"), ("GET", "trainjobs"), ("POST", "trainjobs"), ("DELETE", "trainjobs"),
    }  # fmt: skip


def test_an_account_that_may_not_create_trainjobs_is_told_so_by_the_doctor(server, cluster):
    assert check_rights(cluster).advice.startswith("apply manifests/components/trainer")
    server.allowed = {("create", "trainer.kubeflow.org", "trainjobs")}
    assert check_rights(cluster).advice == ""
    server.groups = ["apps"]  # a right may be granted for a kind that is not there
    assert check_rights(cluster).found == "no Kubeflow Trainer in this cluster"


def test_what_a_training_asks_for_is_in_words():
    limits = {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "8"}
    requests = {"cpu": "250m", "memory": "512Mi"}
    job = {"spec": {"trainer": {"numNodes": 2, "resourcesPerNode": {"limits": limits}}}}
    assert asked_for(job) == "2 nodes x 4 CPUs, 16 GiB, 8 nvidia.com/gpu"
    job["spec"]["trainer"]["resourcesPerNode"]["requests"] = requests
    assert asked_for(job) == "2 nodes x 250m CPUs, 512 MiB, 8 nvidia.com/gpu"
    assert asked_for({}) == "1 nodes x what the runtime asks"


def test_outside_a_cluster_nothing_is_handed_over(arguments, monkeypatch, tmp_path):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="set num_nodes to 1"):
        launch("pretrain_captioner", {**arguments, "seed": 7}, num_nodes=2)
    assert sorted(tmp_path.rglob("*")) == before
