"""The committed pipelines as objects of Kubernetes, for GitOps: ``python -m dico_pipelines.gitops``.

What `kfp dsl compile --kubernetes-manifest-format --include-pipeline-manifest` writes, but from the
compiled YAML and with each version named by the digest of what it runs: a changed pipeline is a new
version, an unchanged one is not. One line of JSON per object: pipelines/*.yaml is what people read.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
MANIFEST = FOLDER.parent / "manifests" / "overlays" / "gitops" / "pipelines.yaml"
HEADER = "# Written by `make compile` from pipelines/*.yaml.\n"
API = "pipelines.kubeflow.org/v2beta1"


def write_manifest(path: Path = MANIFEST, folder: Path = FOLDER) -> Path:
    """Writes the Pipeline and the PipelineVersion of every compiled pipeline into one file."""
    objects = [entry for source in sorted(folder.glob("*.yaml")) for entry in objects_of(source)]
    path.write_text(HEADER + "".join(f"---\n{json.dumps(entry)}\n" for entry in objects))
    return path


def objects_of(source: Path) -> list[dict[str, Any]]:
    """The Pipeline and the PipelineVersion of one compiled pipeline."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    spec, *platform = yaml.load_all(source.read_bytes(), Loader=loader)
    name = spec["pipelineInfo"]["name"]
    described = {"description": spec["pipelineInfo"].get("description", "")}
    runs = {"pipelineSpec": spec} | ({"platformSpec": platform[0]} if platform else {})
    content = json.dumps({**runs, "pipelineSpec": {**spec, "sdkVersion": ""}}, sort_keys=True)
    version = f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    return [
        {
            "apiVersion": API,
            "kind": "Pipeline",
            "metadata": {"name": name},
            "spec": {**described, "displayName": name},
        },
        {
            "apiVersion": API,
            "kind": "PipelineVersion",
            "metadata": {"name": version},
            "spec": {**described, "displayName": version, "pipelineName": name, **runs},
        },
    ]


if __name__ == "__main__":
    print(write_manifest())
