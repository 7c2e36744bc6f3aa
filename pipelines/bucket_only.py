"""A compiled pipeline for runs whose places are all in a bucket: its pods mount no claim.

Kubeflow has no optional claim: a pod that names one waits for it, and an empty name fails.
"""

from pathlib import Path
from typing import Any

import yaml

from dico_pipelines.variables import WORK_VARIABLE

HEADER = "# Written by `make compile`: the pipeline of this name, without the work volume.\n"


def write_bucket_only(source: Path, target: Path) -> Path:
    """Writes the pipeline ``source`` without its work volume to ``target``."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents = list(yaml.load_all(source.read_bytes(), Loader=loader))
    target.parent.mkdir(parents=True, exist_ok=True)
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump_all(without_claim(documents), Dumper=dumper, sort_keys=True, width=120)
    target.write_text(HEADER + text)
    return target


def without_claim(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The documents of a compiled pipeline, its claims and the variable that names them left out."""
    specification, *platforms = documents
    for platform in platforms:
        for executor in _executors(platform["platforms"]["kubernetes"]).values():
            executor.pop("pvcMount", None)
    for executor in _executors(specification).values():
        container = executor.get("container", {})
        kept = [entry for entry in container.get("env", []) if entry["name"] != WORK_VARIABLE]
        container.pop("env", None)
        container |= {"env": kept} if kept else {}
    return [specification, *platforms]


def _executors(part: dict[str, Any]) -> dict[str, Any]:
    return dict(part.get("deploymentSpec", {}).get("executors", {}))
