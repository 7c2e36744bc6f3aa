"""D6: every pod meets Pod Security `restricted`, has limits, an end and a closed network.

The checker is itself checked against Kubernetes' own fixtures where ``DICO_POD_SECURITY_FIXTURES``
names a folder of them, such as test/testdata/restricted/v1.37 of kubernetes/pod-security-admission.
"""

import copy
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.manifests.pod_security import findings
from tests.manifests.pods import PIPELINES, pods_of, step_pods
from tests.reliability.result import CONTROL, Result, count

IDS = ("D6",)
MANIFESTS = PIPELINES.parent / "manifests"
FIXTURES = "DICO_POD_SECURITY_FIXTURES"


def check(full: bool) -> list[Result]:
    """Pods of the pipelines' steps, pods of the rendered manifests, and the network between them."""
    steps = [pod for path in sorted(PIPELINES.glob("*.yaml")) for _, pod in step_pods(path)]
    rows = [
        count(
            "D6",
            "pods of pipeline steps meet the restricted Pod Security Standard",
            (not findings(pod) for pod in steps),
        ),
        count("D6", "steps have CPU and memory limits and a timeout", _bounded_steps()),
        count(
            "D6",
            CONTROL + "a pod with one more privilege fails the check",
            map(bool, _spoiled(steps)),
        ),
    ]
    overlays = _overlays()
    if overlays is None:
        rows.append(Result("D6", "rendered manifests", 0, 0, 0.0, "neither kubectl nor kustomize"))
    else:
        rows += _manifests(overlays)
    if os.environ.get(FIXTURES):
        rows.append(count("D6", "Kubernetes' own fixtures get the same verdicts", _fixtures()))
    return rows


def _manifests(overlays: dict[str, list[dict[str, Any]]]) -> list[Result]:
    pods = [pod for objects in overlays.values() for item in objects for pod in pods_of(item)]
    containers = [container for pod in pods for container in pod["spec"]["containers"]]
    open_by_intent = {"serving", "standalone", "profile"}  # namespaces that others share
    spaces = [objects for name, objects in overlays.items() if name not in open_by_intent]
    return [
        count(
            "D6",
            "pods of manifests meet the restricted Pod Security Standard",
            (not findings(pod) for pod in pods),
        ),
        count(
            "D6",
            "containers have limits, an image tag and a read-only root",
            map(_bounded, containers),
        ),
        count(
            "D6", "overlays deny all network traffic that they do not name", map(_is_closed, spaces)
        ),
    ]


def _overlays() -> dict[str, list[dict[str, Any]]] | None:
    kubectl, kustomize = shutil.which("kubectl"), shutil.which("kustomize")
    if not kubectl and not kustomize:
        return None
    command = [kustomize, "build"] if kustomize else [kubectl, "kustomize"]
    rendered = {}
    for path in sorted(MANIFESTS.glob("overlays/*/kustomization.yaml")):
        text = subprocess.run([*command, path.parent], capture_output=True, check=True).stdout
        rendered[path.parent.name] = list(yaml.load_all(text, Loader=yaml.CSafeLoader))
    return rendered


def _bounded(container: dict[str, Any]) -> bool:
    limits = container.get("resources", {}).get("limits", {})
    tag = container["image"].rpartition("/")[2].partition(":")[2]
    read_only = container["securityContext"].get("readOnlyRootFilesystem") is True
    return {"cpu", "memory"} <= limits.keys() and tag not in ("", "latest") and read_only


def _bounded_steps() -> Iterator[bool]:
    for path in sorted(PIPELINES.glob("*.yaml")):
        specification, platform = yaml.load_all(path.read_bytes(), Loader=yaml.CSafeLoader)
        settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        for name, executor in specification["deploymentSpec"]["executors"].items():
            resources = executor["container"].get("resources", {})
            limited = {"resourceCpuLimit", "resourceMemoryLimit"} <= resources.keys()
            yield limited and int(settings[name].get("activeDeadlineSeconds", 0)) > 0


def _is_closed(objects: list[dict[str, Any]]) -> bool:
    closed = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    return any(item["kind"] == "NetworkPolicy" and item["spec"] == closed for item in objects)


def _spoiled(pods: list[dict[str, Any]]) -> Iterator[list[str]]:
    """What is found in each pod after one change that `restricted` forbids."""
    for pod in pods:
        for change in ({"privileged": True}, {"runAsNonRoot": False}, {"capabilities": {}}):
            spoiled = copy.deepcopy(pod)
            spoiled["spec"]["containers"][0]["securityContext"].update(change)
            yield findings(spoiled)


def _fixtures() -> Iterator[bool]:
    for path in sorted(Path(os.environ[FIXTURES]).glob("*/*.yaml")):
        passes = not findings(yaml.safe_load(path.read_text()))
        yield passes == (path.parent.name == "pass")
