"""What a user of a cluster can lack: each ends in one line with the cause and what to do.

No kubeconfig is needed for it.
"""

import pytest

from dico_pipelines.cluster.submitting import submit
from dico_pipelines.cluster.watching import RunFailedError
from tests.pipelines.cluster.test_watching import GIVEN, PIPELINE, server

__all__ = ["server"]

FORBIDDEN = 'pods "dico-x7k2p-1" is forbidden: '
QUOTA = "exceeded quota: dico, requested: limits.cpu=2, used: limits.cpu=0, limited: limits.cpu=0"
NO_NODE = "Unschedulable: 0/3 nodes are available: "
WAITING = {
    "claim": (f'{NO_NODE}persistentvolumeclaim "dico" not found.', "apply manifests/overlays"),
    "class": (
        f"{NO_NODE}pod has unbound immediate PersistentVolumeClaims.",
        "kubectl get storageclass",
    ),
    "image": (
        'ImagePullBackOff: Back-off pulling image "docker.io/library/dico:0.1.0"',
        "push the image and give image=REGISTRY/dico@sha256",
    ),
    "Secret": ('CreateContainerConfigError: secret "dico" not found', "-k manifests/secret"),
    "quota": (FORBIDDEN + QUOTA, "kubectl describe quota"),
    "taint": (f"{NO_NODE}3 node(s) had untolerated taint {{gpu: }}.", "tolerations="),
    "volume": (
        f"{NO_NODE}1 node(s) had volume node affinity conflict.",
        "use a class with ReadWriteMany",
    ),
    "no profile": (
        'CreateContainerConfigError: secret "mlpipeline-minio-artifact" not found',
        "the namespace is no profile of Kubeflow",
    ),
    "pods": (f"{NO_NODE}1 Too many pods.", "or add a node"),
    "room": (f"{NO_NODE}3 Insufficient nvidia.com/gpu.", "ask for less by cpu="),
}
FAILED = {
    "account": (
        f"{FORBIDDEN}error looking up service account kubeflow/dico: not found",
        "leave --service-account out",
    ),
    "deleted pod": ("pod deleted", "goes on from its last checkpoint"),
    "room on a disk": (
        "The node was low on resource: ephemeral-storage",
        "goes on from its last checkpoint",
    ),
    "deadline": (
        "Pod was active on the node longer than the specified deadline",
        "goes on from its last checkpoint",
    ),
    "Pod Security": (
        f'{FORBIDDEN}violates PodSecurity "restricted:latest": runAsNonRoot != true',
        "pod-security.kubernetes.io/enforce=baseline",
    ),
    "terminated": ("Step exceeded its deadline", "somebody terminated the run"),
    "stopped": ("workflow shutdown with strategy: Terminate", "somebody terminated the run"),
    "memory": ("OOMKilled (exit code 137)", "give more by memory="),
}


@pytest.mark.parametrize("fault", WAITING)
def test_a_pod_that_cannot_begin(fault, server, monkeypatch, capsys):
    # Said at the first look, not after a minute: what is said is tested here, how late in test_watching.
    monkeypatch.setattr("dico_pipelines.cluster.watching.SECONDS_PENDING", 0.0)
    cause, cure = WAITING[fault]
    server.states = ["RUNNING", "SUCCEEDED"]
    server.workflow.begin().step("preflight", "Pending", message=cause)
    submit(PIPELINE, GIVEN, wait=True, poll_seconds=0.01)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "… preflight" in line]
    assert cause.rstrip(".") in line
    assert cure in line


@pytest.mark.parametrize("fault", FAILED)
def test_a_pod_that_failed_without_a_word(fault, server):
    cause, cure = FAILED[fault]
    server.states = ["FAILED"]
    server.workflow.begin().step("preflight", "", driver="Error", message=cause)
    with pytest.raises(RunFailedError) as failure:
        submit(PIPELINE, GIVEN, wait=True, poll_seconds=0.01)
    line = str(failure.value)
    assert "\n" not in line
    assert line.startswith("run run-1: failed: preflight: ")
    assert cause in line
    assert cure in line
