"""``dico doctor``'s checks of a cluster: Kubeflow Pipelines, and this pod's permissions."""

import importlib.metadata
import os
from collections.abc import Mapping
from typing import Any

import yaml

from dico.errors import DicoError
from dico.preflight import Finding
from dico_pipelines.cluster.answers import read_health
from dico_pipelines.cluster.connection import connection_from_environment
from dico_pipelines.cluster.namespace import open_namespace
from dico_pipelines.cluster.watching import HOME
from dico_pipelines.trainjob.kubernetes import Cluster, connect

SUBJECT = "train on nodes"


def examine(endpoint: str = "", namespace: str = "", token_file: str = "") -> list[Finding]:
    """Looks at the server where one is named, and at this pod's rights where this is a pod.

    It raises for nothing that is missing.
    """
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ
    findings = []
    if endpoint or os.environ.get("KFP_ENDPOINT") or in_pod:
        findings.append(_server(endpoint, namespace, token_file))
    if in_pod:
        findings.append(_rights())
    policy = _retries(endpoint, namespace, token_file)
    return [*findings, policy] if policy else findings


def _server(endpoint: str, namespace: str, token_file: str) -> Finding:
    subject = "kubeflow pipelines"
    try:
        connection = connection_from_environment(endpoint, namespace, token_file)
        health = read_health(connection)
    except DicoError as error:
        return Finding(subject, "not usable", str(error), True, error.exit_code)
    client = importlib.metadata.version("kfp")
    found = f"{health.version or 'unknown version'} at {connection.endpoint}, client {client}"
    if health.multi_user and not connection.namespace:
        advice = "name your profile by --namespace or KFP_NAMESPACE"
        return Finding(subject, found, advice, True, exit_code=2)
    if health.skew():
        return Finding(subject, found, "client and server differ; install the server's release")
    return Finding(subject, found, required=True)


def _rights() -> Finding:
    """Whether this pod's account may start trainings on several nodes."""
    try:
        return check_rights(connect())
    except DicoError as error:
        return Finding(SUBJECT, "unknown", str(error))


def check_rights(cluster: Cluster) -> Finding:
    """Whether the account that ``cluster`` is asked by may create TrainJobs.

    Raises:
        DicoError: the cluster does not say.
    """
    if not cluster.has_trainer():
        advice = "needed for num_nodes above 1 only: install Kubeflow Trainer 2.2 or newer"
        return Finding(SUBJECT, "no Kubeflow Trainer in this cluster", advice)
    if not cluster.may_create():
        advice = "apply manifests/components/trainer, and run by the account that it names"
        return Finding(SUBJECT, "not allowed", advice)
    return Finding(SUBJECT, "this account may create TrainJobs")


def _retries(endpoint: str, namespace: str, token_file: str) -> Finding | None:
    """Which pods the cluster starts again by itself; None where that may not be read."""
    try:
        connection = connection_from_environment(endpoint, namespace, token_file)
    except DicoError:
        return None
    home = open_namespace(connection, HOME)
    found = home.read("config_map", "workflow-controller-configmap") if home else None
    return Finding("retries", describe_retries(found.get("data", {}))) if found else None


def describe_retries(settings: Mapping[str, str]) -> str:
    """What Argo's controller does about pods that fail, by its ConfigMap."""
    defaults: dict[str, Any] = yaml.safe_load(settings.get("workflowDefaults", "")) or {}
    strategy = defaults.get("spec", {}).get("templateDefaults", {}).get("retryStrategy")
    if not strategy:
        return "no pod is started again by the cluster; steps try again by themselves"
    policy, limit = strategy.get("retryPolicy", "OnFailure"), strategy.get("limit", "any number of")
    what = {
        "OnError": "a pod that is deleted or cannot be made; none that ends with a code",
        "OnFailure": "a pod that ends with a code; none that is deleted",
        "Always": "every pod that fails",
    }.get(policy, "pods that fail for a passing reason")
    return f"the cluster starts again, {limit} times ({policy}): {what}"
