"""What ``dico doctor`` looks at in a cluster: Kubeflow Pipelines, and what this pod may do."""

import importlib.metadata
import os

from dico.errors import DicoError
from dico.preflight import Finding
from dico_pipelines.cluster.answers import read_health
from dico_pipelines.cluster.connection import connection_from_environment
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
    return findings


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
    if not cluster.may_create():
        advice = "run with service account dico of manifests/base"
        return Finding(SUBJECT, "not allowed", advice)
    return Finding(SUBJECT, "this account may create TrainJobs")
