"""Step: what a run needs, checked before anything expensive starts; and what its pods will get.

Resources leave this step as text, because a pod's limits are read from text: a number would be
taken for nothing, and the step would quietly run without its GPU.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dico.errors import ConfigError
from dico.preflight import Finding, check_dataset, check_place, check_weights, require
from dico.presets.config import resolve
from dico.presets.plugins import check_plugins
from dico.storage.places import default_place

_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|[KMGT]i?)?")


class Outputs(NamedTuple):
    """Places, and resources of the pods, as later steps use them."""

    store: str
    """Folder or s3:// prefix of the store."""
    registry: str
    """Folder or s3:// prefix of the registry."""
    gpu_type: str
    """Resource name of a training pod's GPUs; empty where it needs none."""
    gpus: str
    """GPUs of a training pod."""
    one_gpu_type: str
    """Resource name of the GPU of a step of one process; empty where the run has none."""
    one_gpu: str
    """GPUs of a step of one process: 1 where the run has any, however many, else 0."""
    cpu: str
    """CPU limit of a pod that computes."""
    memory: str
    """Memory limit of a pod that computes."""
    pod: str
    """Resources, tolerations and node selector of each node of a training, JSON."""


def preflight(
    dataset: str,
    images: str,
    preset: str,
    overrides: str,
    store: str,
    registry: str,
    gpu_type: str,
    gpus: int,
    num_nodes: int,
    cpu: str,
    memory: str,
    node_selector: Mapping[str, str],
    tolerations: Sequence[Mapping[str, Any]],
) -> Outputs:
    """Checks settings, dataset, store and registry, and says all that is missing at once.

    Args:
        dataset: annotations, a path or s3:// URI; empty where the run has none.
        images: folder of the pictures; empty where the annotations know.
        preset: name of a preset; empty where the run has none.
        overrides: settings to change.
        store: folder or s3:// prefix; empty for the mounted work volume.
        registry: folder or s3:// prefix; empty for the mounted work volume.
        gpu_type: resource name of the GPUs, such as nvidia.com/gpu.
        gpus: GPUs of each node; 0 trains on the CPU.
        num_nodes: nodes that train together.
        cpu: limit of each pod, as Kubernetes writes it.
        memory: limit of each pod, as Kubernetes writes it.
        node_selector: labels of the nodes that may train.
        tolerations: taints that training tolerates, as Kubernetes writes them.

    Raises:
        ConfigError: a setting is unknown, of the wrong type or out of range.
        PreflightError: a place or the dataset cannot be used.
    """
    config = resolve(preset, overrides) if preset else None
    if config is not None:
        check_plugins(config)
    limits = _limits(gpu_type, gpus, num_nodes, cpu, memory)
    places = {
        "store": default_place(store, "store"),
        "registry": default_place(registry, "registry"),
    }
    findings = [check_place(name, uri) for name, uri in places.items()]
    findings.append(check_dataset(dataset, images))
    if config is not None:
        parts = config.evaluator, config.judge, config.captioner
        findings += check_weights(*parts, places["store"])
    _show(findings)
    require(findings)
    pod = {
        "resources": {"limits": limits},
        "node_selector": dict(node_selector),
        "tolerations": [dict(toleration) for toleration in tolerations],
    }
    # With several nodes the step's own pod only follows them.
    own = gpus if num_nodes == 1 else 0
    return Outputs(
        places["store"],
        places["registry"],
        gpu_type if own else "",
        str(own),
        gpu_type if gpus else "",
        str(min(gpus, 1)),
        cpu,
        memory,
        json.dumps(pod, sort_keys=True),
    )


def _limits(gpu_type: str, gpus: int, num_nodes: int, cpu: str, memory: str) -> dict[str, str]:
    for name, number, least in (("gpus", gpus, 0), ("num_nodes", num_nodes, 1)):
        if number < least:
            raise ConfigError(f"{name}: must be at least {least}, got {number}")
    for name, quantity in (("cpu", cpu), ("memory", memory)):
        if not _QUANTITY.fullmatch(quantity):
            raise ConfigError(f"{name}: expected a quantity such as 4 or 16Gi, got {quantity!r}")
    if gpus and not gpu_type:
        raise ConfigError("gpu_type: empty; give the resource's name, such as nvidia.com/gpu")
    return {"cpu": cpu, "memory": memory} | ({gpu_type: str(gpus)} if gpus else {})


def _show(findings: Sequence[Finding]) -> None:
    for finding in findings:
        mark = "MISS" if finding.missing else "ok  "
        print(f"{mark}  {finding.subject:<12}{finding.found}")
