"""Why steps of a run failed or wait: what Argo and the scheduler say, in its Workflow.

Kubeflow's API v2beta1 gives no reason of anything. The same server still answers v1beta1, whose
account of a run holds the Workflow as it last stood, also after it was garbage-collected. Where a
server answers that no more, a kubeconfig may lead to the Workflow itself.
"""

import base64
import gzip
import json
import re
from collections.abc import Mapping
from typing import Any

from dico_pipelines.cluster.answers import get
from dico_pipelines.cluster.connection import Connection
from dico_pipelines.cluster.namespace import open_namespace
from dico_pipelines.cures import with_cure

HOME = "kubeflow"
"""Namespace of a single-user server, unless one is named."""

_STEP = re.compile(r"([^.()]+?)(?:-driver)?(?:\(\d+\))?(?:\.executor(?:\(\d+\))?)?$")
"""The step that a node's path ends in: by its driver, its group or its container."""


def reasons_of(connection: Connection, run_id: str) -> dict[str, str]:
    """Step to what is said of it and what to do; empty where that cannot be found out."""
    workflow = _kept_by_kubeflow(connection, run_id)
    if not workflow and (namespace := open_namespace(connection, connection.namespace or HOME)):
        workflow = namespace.workflow(run_id)
    return messages_of(workflow)


def _kept_by_kubeflow(connection: Connection, run_id: str) -> dict[str, Any]:
    """The Workflow as the API server keeps it; empty where it does not give it."""
    try:
        answer = get(connection, f"/apis/v1beta1/runs/{run_id}")
        manifest = answer.json()["pipeline_runtime"]["workflow_manifest"]
        return dict(json.loads(manifest))
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def messages_of(workflow: Mapping[str, Any]) -> dict[str, str]:
    """Step to what Argo says of it and what to do, of the nodes that failed or wait."""
    status = workflow.get("status", {})
    nodes = dict(status.get("nodes") or {})
    if status.get("compressedNodes"):
        packed = base64.b64decode(status["compressedNodes"])
        nodes |= json.loads(gzip.decompress(packed))
    messages: dict[str, str] = {}
    for node in sorted(nodes.values(), key=lambda node: (node.get("type") != "Pod", node["name"])):
        troubled = node.get("phase") in ("Failed", "Error", "Pending")
        match = _STEP.search(node["name"])
        if troubled and node.get("message") and match:
            messages.setdefault(match[1], " ".join(str(node["message"]).split())[:600])
    return {step: with_cure(message) for step, message in messages.items()}
