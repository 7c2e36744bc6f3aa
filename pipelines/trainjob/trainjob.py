"""The TrainJob of a step that trains on several nodes: Kubeflow Trainer's object, as plain data.

Each node's pod is like the step's own: the same image, variables, claims and account. What it has
more, GPUs above all, the pipeline says. The training runtime that it refers to (manifests/base)
brings the rest: security settings, /dev/shm, what to do about failures.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
RUNTIME_VARIABLE = "DICO_TRAINING_RUNTIME"
RUNTIME = "dico"
MANAGER = "dico.step/launcher"
PART_OF = {"app.kubernetes.io/part-of": "dico"}

_OF_KFP = ("KFP_", "ARGO_", "KUBERNETES_", "ML_PIPELINE_", "METADATA_")
"""Starts of the names of variables that concern the step's own pod alone."""


@dataclass(frozen=True, slots=True)
class Call:
    """What the nodes are asked to do."""

    name: str
    """Name of the TrainJob; the same for the same work."""
    store: str
    """Store that holds the call."""
    key: str
    """Where in the store."""
    num_nodes: int
    """Pods."""
    num_processes: int
    """Processes of each pod."""


def train_job(call: Call, own_pod: Mapping[str, Any], pod: Mapping[str, Any]) -> dict[str, Any]:
    """The TrainJob that does ``call``.

    Args:
        call: the work.
        own_pod: the step's own pod, as the API gives it.
        pod: what each node's pod gets beyond that, by the names of ``launch``.
    """
    main = main_container(own_pod)
    trainer = {
        "image": main["image"],
        "command": ["python3", "-m", "dico.launching", "node", call.store, call.key],
        "numNodes": call.num_nodes,
        "numProcPerNode": call.num_processes,
        "env": _variables(main) + list(pod.get("env") or []),
    }
    resources = pod.get("resources") or main.get("resources")
    if resources:
        trainer["resourcesPerNode"] = resources
    runtime = os.environ.get(RUNTIME_VARIABLE, RUNTIME)
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {"name": call.name, "labels": PART_OF, "annotations": _origin(own_pod)},
        "spec": {
            "runtimeRef": {"apiGroup": GROUP, "kind": "TrainingRuntime", "name": runtime},
            "trainer": trainer,
            "runtimePatches": [_patch(own_pod, main, pod)],
        },
    }


def _patch(own_pod: Mapping[str, Any], main: Mapping[str, Any], pod: Mapping[str, Any]) -> Any:
    """Changes to the runtime's pods, in Trainer's nesting."""
    spec = own_pod["spec"]
    claims = [v for v in spec.get("volumes", []) if "persistentVolumeClaim" in v]
    names = {volume["name"] for volume in claims}
    mounts = [m for m in main.get("volumeMounts", []) if m["name"] in names]
    changes = {
        "serviceAccountName": spec.get("serviceAccountName"),
        "imagePullSecrets": spec.get("imagePullSecrets"),
        "nodeSelector": pod.get("node_selector") or spec.get("nodeSelector"),
        "tolerations": _tolerations(pod.get("tolerations") or spec.get("tolerations") or []),
        "affinity": pod.get("affinity") or spec.get("affinity"),
        "volumes": claims + list(pod.get("volumes") or []),
    }
    mounts += list(pod.get("volume_mounts") or [])
    if mounts:
        changes["containers"] = [{"name": "node", "volumeMounts": mounts}]
    template = {
        "metadata": {"labels": PART_OF},
        "spec": {name: value for name, value in changes.items() if value},
    }
    job = {"name": "node", "template": {"spec": {"template": template}}}
    runtime = {"template": {"spec": {"replicatedJobs": [job]}}}
    return {"manager": MANAGER, "trainingRuntimeSpec": runtime}


def main_container(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """The container of a step's pod that runs the step."""
    containers: list[Mapping[str, Any]] = pod["spec"]["containers"]
    return next((c for c in containers if c["name"] == "main"), containers[0])


def _variables(main: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The step's variables; those that name a field of its own pod by their present value."""
    kept = [dict(v) for v in main.get("env", []) if not v["name"].startswith(_OF_KFP)]
    for variable in kept:
        if "fieldRef" in variable.get("valueFrom", {}):
            del variable["valueFrom"]
            variable["value"] = os.environ.get(variable["name"], "")
    return kept


def _tolerations(tolerations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without those that Kubernetes itself adds to every pod."""
    added = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    return [t for t in tolerations if t.get("key") not in added]


def _origin(own_pod: Mapping[str, Any]) -> dict[str, str]:
    """Which run asked: for a person who finds the TrainJob."""
    labels = own_pod["metadata"].get("labels", {})
    return {
        "dico/run": str(labels.get("pipeline/runid", "")),
        "dico/pod": str(own_pod["metadata"]["name"]),
    }
