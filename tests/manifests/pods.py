"""Every pod that results from the manifests and from the compiled pipelines, as plain data."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

PIPELINES = Path(__file__).parents[2] / "pipelines"


def pods_of(manifest: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The pods that an object makes, its own template's metadata with them."""
    spec = manifest.get("spec") or {}
    if manifest["kind"] == "InferenceService":
        yield {"metadata": {}, "spec": spec["predictor"]}
    elif manifest["kind"] == "TrainingRuntime":
        for job in spec["template"]["spec"]["replicatedJobs"]:
            yield job["template"]["spec"]["template"]
    elif manifest["kind"] in ("Job", "Deployment", "StatefulSet", "DaemonSet"):
        yield spec["template"]
    elif manifest["kind"] == "Pod":
        yield dict(manifest)


def step_pods(pipeline: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The pod of each step, as Kubeflow Pipelines 2.17 makes it from a compiled pipeline.

    Kubeflow gives every step's container no privilege escalation, no capabilities and the
    runtime's seccomp profile; the rest is the pipeline's.
    """
    documents = list(yaml.load_all(pipeline.read_bytes(), Loader=yaml.CSafeLoader))
    executors = documents[0]["deploymentSpec"]["executors"]
    platform = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name, executor in executors.items():
        settings = platform.get(name, {})
        given = settings.get("securityContext", {})
        context = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
            **{key: int(value) for key, value in given.items() if key != "runAsNonRoot"},
            "runAsNonRoot": given.get("runAsNonRoot", False),
        }
        volumes = [
            *({"name": "claim", "persistentVolumeClaim": {}} for _ in settings.get("pvcMount", [])),
            *(
                {"name": m["volumeName"], "emptyDir": {}}
                for m in settings.get("emptyDirMounts", [])
            ),
            *({"name": "hostPath", "hostPath": {}} for _ in settings.get("hostPathMounts", [])),
        ]
        container = {**executor["container"], "name": name, "securityContext": context}
        yield name, {"metadata": {}, "spec": {"containers": [container], "volumes": volumes}}
