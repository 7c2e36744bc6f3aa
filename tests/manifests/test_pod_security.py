"""The checker of Pod Security `restricted`: a pod that passes, and every way to fail."""

import copy

import pytest

from tests.manifests.pod_security import findings

GOOD = {
    "metadata": {"name": "good"},
    "spec": {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [],
        "containers": [
            {
                "name": "main",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
                },
            }
        ],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    },
}
MAIN = ("spec", "containers", 0)
CONTEXT = (*MAIN, "securityContext")


def changed(path, value):
    pod = copy.deepcopy(GOOD)
    place = pod
    for key in path[:-1]:
        place = place[key] if isinstance(place, list) else place.setdefault(key, {})
    place[path[-1]] = value
    return pod


def test_a_pod_that_passes():
    assert findings(GOOD) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*CONTEXT, "runAsUser"), 65532),
        ((*CONTEXT, "procMount"), "Default"),
        ((*MAIN, "ports"), [{"containerPort": 80, "hostPort": 0}]),
        (("spec", "securityContext", "sysctls"), [{"name": "net.ipv4.tcp_rmem", "value": "1"}]),
        (("spec", "securityContext", "seLinuxOptions"), {"type": "container_t", "level": "s0"}),
        (("metadata", "annotations"), {"container.apparmor.security.beta.kubernetes.io/main": ""}),
        (("spec", "volumes"), [{"name": "tmp", "emptyDir": {}}, {"name": "c", "configMap": {}}]),
    ],
)
def test_what_is_allowed(path, value):
    assert findings(changed(path, value)) == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("spec", "hostNetwork"), True, "hostNetwork"),
        (("spec", "hostPID"), True, "hostPID"),
        (("spec", "hostIPC"), True, "hostIPC"),
        (("spec", "volumes"), [{"name": "v", "hostPath": {"path": "/"}}], "volume v is a hostPath"),
        (("spec", "volumes"), [{"name": "v", "nfs": {}}], "volume v is a nfs"),
        (("spec", "securityContext", "sysctls"), [{"name": "kernel.msgmax"}], "sysctl"),
        (("spec", "securityContext", "seLinuxOptions"), {"user": "root"}, "seLinuxOptions"),
        (("spec", "securityContext", "seccompProfile"), {"type": "Unconfined"}, "Unconfined"),
        (("spec", "securityContext", "runAsNonRoot"), False, "runAsNonRoot"),
        (("spec", "securityContext", "runAsUser"), 0, "runAsUser is 0"),
        (("spec", "securityContext"), {"runAsNonRoot": True}, "no seccompProfile"),
        (
            ("spec", "securityContext"),
            {"seccompProfile": {"type": "RuntimeDefault"}},
            "runAsNonRoot",
        ),
        ((*CONTEXT, "runAsNonRoot"), False, "main: runAsNonRoot"),
        ((*CONTEXT, "runAsUser"), 0, "main: runAsUser is 0"),
        ((*CONTEXT, "privileged"), True, "privileged"),
        ((*CONTEXT, "allowPrivilegeEscalation"), None, "allowPrivilegeEscalation"),
        ((*CONTEXT, "capabilities"), {"drop": ["NET_RAW"]}, "drop [ALL]"),
        ((*CONTEXT, "capabilities"), {"drop": ["ALL"], "add": ["SYS_PTRACE"]}, "SYS_PTRACE"),
        ((*CONTEXT, "procMount"), "Unmasked", "procMount"),
        ((*CONTEXT, "appArmorProfile"), {"type": "Unconfined"}, "appArmorProfile"),
        ((*CONTEXT, "windowsOptions"), {"hostProcess": True}, "hostProcess"),
        ((*MAIN, "ports"), [{"containerPort": 80, "hostPort": 80}], "hostPort 80"),
        ((*MAIN, "livenessProbe"), {"httpGet": {"host": "10.0.0.1"}}, "asks the host"),
        ((*MAIN, "lifecycle"), {"preStop": {"tcpSocket": {"host": "x"}}}, "asks the host"),
        (
            ("metadata", "annotations"),
            {"container.apparmor.security.beta.kubernetes.io/main": "unconfined"},
            "annotation",
        ),
        (("spec", "initContainers"), [{"name": "first"}], "first: allowPrivilegeEscalation"),
        (("spec", "ephemeralContainers"), [{"name": "look"}], "look: capabilities"),
    ],
)
def test_what_is_refused(path, value, words):
    found = findings(changed(path, value))
    assert any(words in finding for finding in found), found
