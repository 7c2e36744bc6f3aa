"""A look before a run is sent: at the server's mode, and at what its pods will ask for.

Kubeflow says nothing of a namespace that it ignores, and a run whose account, claim or image is not
there waits for ever. What a kubeconfig allows to see is looked at; the rest is left to the server.
"""

from collections.abc import Mapping
from typing import Any

from dico.errors import UsageError
from dico_pipelines.cluster.answers import Health, read_health
from dico_pipelines.cluster.connection import Connection
from dico_pipelines.cluster.namespace import Namespace, open_namespace, trouble_with_kubeconfig
from dico_pipelines.cluster.parameters import needs_claim
from dico_pipelines.cluster.reasons import HOME

ACCOUNTS = {False: "pipeline-runner", True: "default-editor"}
"""The server's default account of a run's pods: alone, and with profiles."""


def check_before_sending(connection: Connection, values: Mapping[str, Any], account: str) -> None:
    """Refuses a run that could not begin; prints notes on what may be missing.

    Args:
        connection: where the run is sent.
        values: every parameter of the run.
        account: account of its pods; empty for the server's default.

    Raises:
        UsageError: names all that is missing.
        AccessError: the server wants a token.
        TryAgainError: the server cannot be reached.
    """
    health = read_health(connection)
    namespace = open_namespace(connection, connection.namespace or HOME)
    image = str(values.get("image", ""))
    if namespace is None:
        notes = [f"image {image} {_PUSH}"] if image and not _has_registry(image) else []
        if connection.namespace and not health.multi_user:
            notes.append(f"{_ALONE}, whatever is asked for: not to {connection.namespace}")
        if trouble := trouble_with_kubeconfig(connection):
            notes.append(f"{_UNSEEN}: {trouble}")
    else:
        missing = _mode(namespace, health) or [
            *_account(namespace, account, ACCOUNTS[health.multi_user]),
            *_claim(namespace, values),
            *_image(namespace, image),
        ]
        if missing:
            raise UsageError("; ".join(missing))
        notes = _secret(namespace, values)
        if namespace.trouble:
            notes.append(f"{_UNSEEN}: {namespace.api.configuration.host}: {namespace.trouble}")
    for note in notes:
        print(f"note: {note}")


_UNSEEN = "what the pods need was not looked at"
_ALONE = "this server is single-user and runs everything in its own namespace"
_PUSH = (
    "has no registry in its name, so nodes find it only where it was loaded (kind load "
    "docker-image, minikube image load); push it and give image=REGISTRY/dico@sha256:..."
)


def _has_registry(image: str) -> bool:
    host = image.partition("/")[0] if "/" in image else ""
    return "." in host or ":" in host or host == "localhost"


def _mode(namespace: Namespace, health: Health) -> list[str]:
    if health.multi_user:
        if namespace.is_profile() is False:
            return [
                f"namespace {namespace.name} is no profile of Kubeflow: a run there never begins; "
                "make one (manifests/overlays/profile), or name yours by --namespace"
            ]
        return []
    if namespace.has("service", "ml-pipeline") is False:
        return [
            f"{_ALONE}, which {namespace.name} is not; leave --namespace and KFP_NAMESPACE out, "
            "or give that one"
        ]
    return []


def _account(namespace: Namespace, named: str, default: str) -> list[str]:
    account = named or default
    if namespace.has("service_account", account) is not False:
        return []
    if named:
        cure = f"name one that is, or leave --service-account out: {default} is then used"
    else:
        cure = (
            "Kubeflow makes it where it is installed; name one that is there by --service-account"
        )
    return [f"account {account} is not in namespace {namespace.name}; {cure}"]


def _claim(namespace: Namespace, values: Mapping[str, Any]) -> list[str]:
    claim = str(values.get("volume", ""))
    if not claim or not needs_claim(values):
        return []
    found = namespace.read("persistent_volume_claim", claim)
    if found is None:
        return []
    if not found:
        return [
            f"claim {claim} is not in namespace {namespace.name}; apply manifests/overlays/..., "
            "or give store=s3://... registry=s3://..., which needs none"
        ]
    modes = found["spec"].get("accessModes", [])
    num_nodes = len([node for node in namespace.nodes() or [] if _takes_pods(node)])
    if "ReadWriteMany" not in modes and num_nodes > 1:
        return [
            f"claim {claim} is {', '.join(modes)}, which one node mounts at a time, and there are "
            f"{num_nodes}: steps would wait for each other for ever; use a class with "
            "ReadWriteMany, or store=s3://... registry=s3://..."
        ]
    return []


def _takes_pods(node: Mapping[str, Any]) -> bool:
    """Whether a plain pod may be put on a node."""
    spec = node.get("spec", {})
    closed = [
        taint for taint in spec.get("taints", []) if taint.get("effect") != "PreferNoSchedule"
    ]
    return not spec.get("unschedulable") and not closed


def _image(namespace: Namespace, image: str) -> list[str]:
    nodes = namespace.nodes() if image and not _has_registry(image) else None
    if nodes is None:
        return []
    known = {
        name.removeprefix("docker.io/").removeprefix("library/")
        for node in nodes
        for entry in node.get("status", {}).get("images", [])
        for name in entry.get("names", [])
    }
    if image in known:
        return []
    return [
        f"image {image} is on no node (a node tells within a minute what was loaded), and {_PUSH}"
    ]


def _secret(namespace: Namespace, values: Mapping[str, Any]) -> list[str]:
    secret = str(values.get("secret", ""))
    uses_bucket = any("s3://" in str(value) for value in values.values())
    if secret and uses_bucket and namespace.has("secret", secret) is False:
        return [
            f"Secret {secret} is not in namespace {namespace.name}: steps reach the bucket only by "
            "a role of their account; else kubectl apply -k manifests/secret"
        ]
    return []
