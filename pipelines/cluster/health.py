"""What ``dico doctor`` looks at in a cluster: Kubeflow Pipelines, and what this pod may do."""

import importlib.metadata
import os
from pathlib import Path

from dico.errors import DicoError
from dico.preflight import Finding
from pipelines.cluster.answers import read_health
from pipelines.cluster.connection import connection_from_environment
from pipelines.cluster.trainjob import GROUP, PLURAL


def examine(endpoint: str = "", namespace: str = "", token_file: str = "") -> list[Finding]:
    """Looks at the server where one is named, and at this pod's rights where this is a pod.

    Raises nothing for what is missing.
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
    from kubernetes import client, config
    from urllib3.exceptions import HTTPError

    subject = "train on nodes"
    try:
        config.load_incluster_config()
        folder = Path("/var/run/secrets/kubernetes.io/serviceaccount")
        wanted = client.V1ResourceAttributes(
            namespace=(folder / "namespace").read_text().strip(),
            verb="create",
            group=GROUP,
            resource=PLURAL,
        )
        review = client.V1SelfSubjectAccessReview(
            spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=wanted)
        )
        answer = client.AuthorizationV1Api().create_self_subject_access_review(
            review, _request_timeout=10
        )
    except (config.ConfigException, client.ApiException, HTTPError, OSError) as error:
        return Finding(subject, f"unknown ({type(error).__name__})", "needs a token of the cluster")
    if not answer.status.allowed:
        return Finding(subject, "not allowed", "run with service account dico of manifests/base")
    return Finding(subject, "this account may create TrainJobs")
