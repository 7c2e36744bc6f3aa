"""scripts/try-cluster with the real kubectl and dico, against servers that answer as a cluster does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipelines.cluster import kfp_server, kube_server
from tests.pipelines.cluster.argo import Workflow
from tests.pipelines.cluster.kfp_server import KfpServer
from tests.pipelines.cluster.kube_server import KubeServer

ROOT = Path(__file__).parents[3]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("DICO_TEST_LONG"), reason="half a minute of CPU"),
    pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed"),
]
POD = "dico-x7k2p-system-container-impl-1"


class Cluster(KubeServer):
    """Kubernetes as kubectl asks it, and the run whose pod is deleted."""

    def __init__(self):
        super().__init__()
        self.deleted = []

    def handle(self, path, method="GET"):
        plain = path.partition("?")[0]
        if method == "DELETE":
            self.deleted.append(plain.rpartition("/")[2])
            return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success"}
        listed = {
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
            "/api/v1": {
                "kind": "APIResourceList",
                "groupVersion": "v1",
                "resources": [resource("namespaces", "Namespace", False), resource("pods", "Pod")],
            },
            "/api/v1/namespaces/kubeflow/pods": {
                "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [pod()],
            },
            f"/api/v1/namespaces/kubeflow/pods/{POD}": pod(),
        }  # fmt: skip
        if plain in listed:
            gone = plain.endswith(POD) and POD in self.deleted
            return (404, {"kind": "Status", "code": 404}) if gone else (200, listed[plain])
        status, content = super().handle(path)
        return status, {"apiVersion": "v1", **content}


def resource(name, kind, namespaced=True):
    verbs = ["get", "list", "delete"]
    return {"name": name, "kind": kind, "namespaced": namespaced, "verbs": verbs}


def pod():
    metadata = {"name": POD, "namespace": "kubeflow"}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "status": {"phase": "Running"}}


class Kubeflow(KfpServer):
    """A run on a dataset that is not there fails; one whose pod is deleted ends well after that."""

    def __init__(self, cluster):
        super().__init__()
        self.cluster = cluster

    def _get_runs(self, name, query, body):
        run = super()._get_runs(name, query, body)
        if not name:
            return run
        given = run["runtime_config"]["parameters"]
        workflow = Workflow("dico-x7k2p").begin()
        if "dataset" in given:
            workflow.step("preflight", "Failed", "error: /data/none.jsonl: no such dataset\n")
        elif given.get("seed") == 2 and not self.cluster.deleted:
            workflow.step("train-evaluator", "Running", "evaluator: 1/3 steps\n")
        state = {"Failed": "FAILED", "Running": "RUNNING"}
        phases = {node["phase"] for path, node in workflow.nodes.items() if "executor" in path}
        run["state"] = next((state[phase] for phase in phases), "SUCCEEDED")
        self.workflow = workflow
        run["run_details"] = {"task_details": workflow.task_details()}
        return run


def test_it_prints_a_table_of_what_was_tried(tmp_path):
    cluster = Cluster()
    cluster.nodes = [kube_server.node("a", images=["docker.io/library/dico:0.1.0"])]
    with (
        kfp_server.serving(Kubeflow(cluster)) as address,
        kube_server.serving(cluster, tmp_path) as config,
    ):
        places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        known = {
            "PATH": places,
            "HOME": str(tmp_path),
            "NO_PROXY": "127.0.0.1",
            "TMPDIR": str(tmp_path),
        }
        told = {"KFP_ENDPOINT": address, "KUBECONFIG": str(config)}
        done = subprocess.run(
            [ROOT / "scripts/try-cluster"], env=known | told, capture_output=True, text=True
        )
    table = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()[1:]}
    assert table.pop("logs:")
    assert set(table.values()) == {"ok"}, done.stdout + done.stderr
    assert list(table) == [
        "doctor", "first-run", "from-the-cache", "failing-step", "missing-account", "missing-claim",
        "deleted-pod", "schedule", "two-nodes",
    ]  # fmt: skip
    assert done.returncode == 0
    assert cluster.deleted == [POD]
