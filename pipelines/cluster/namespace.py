"""Looks at a namespace as far as a kubeconfig allows: objects, pods, workflows.

Nothing here is needed to submit. Where there is no kubeconfig, no right or no answer, nothing is
found out, and nobody is told that something is missing.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dico_pipelines.cluster.connection import Connection

SECONDS_TO_ANSWER = 10
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace, as far as the account of the kubeconfig may read it."""

    api: Any
    """Client of Kubernetes."""
    name: str
    """Its name."""

    def has(self, kind: str, name: str) -> bool | None:
        """Whether an object is there; None where that cannot be found out.

        Args:
            kind: method's end of the client's core API, such as ``service_account``.
            name: name of the object.
        """
        found = self.read(kind, name)
        return None if found is None else bool(found)

    def read(self, kind: str, name: str) -> dict[str, Any] | None:
        """An object as plain data, empty where there is none; None where it cannot be read."""
        from kubernetes import client

        call = getattr(client.CoreV1Api(self.api), f"read_namespaced_{kind}")
        return self._ask(call, name, self.name)

    def nodes(self) -> list[dict[str, Any]] | None:
        """The cluster's nodes; None where they cannot be listed."""
        from kubernetes import client

        listed = self._ask(client.CoreV1Api(self.api).list_node)
        return None if listed is None else list(listed.get("items", []))

    def is_profile(self) -> bool | None:
        """Whether Kubeflow's profile controller made the namespace."""
        from kubernetes import client

        found = self._ask(client.CoreV1Api(self.api).read_namespace, self.name)
        labels = (found or {}).get("metadata", {}).get("labels", {})
        return None if not found else labels.get("app.kubernetes.io/part-of") == "kubeflow-profile"

    def workflow(self, run_id: str) -> dict[str, Any]:
        """What Argo makes of a run; empty where it cannot be read."""
        from kubernetes import client

        found = self._ask(
            client.CustomObjectsApi(self.api).list_namespaced_custom_object,
            *("argoproj.io", "v1alpha1", self.name, "workflows"),
            label_selector=f"pipeline/runid={run_id}",
        )
        return dict(next(iter((found or {}).get("items", [])), {}))

    def _ask(self, call: Any, *arguments: Any, **options: Any) -> dict[str, Any] | None:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            answer = call(*arguments, _request_timeout=SECONDS_TO_ANSWER, **options)
        except ApiException as error:
            return {} if error.status == 404 else None
        except (HTTPError, OSError):
            return None
        return dict(self.api.sanitize_for_serialization(answer))


def open_namespace(connection: Connection, name: str) -> Namespace | None:
    """The namespace ``name`` by the kubeconfig of this machine, or by the account of this pod.

    A kubeconfig may lead to another cluster than Kubeflow's address does. It is asked only where
    the address is a way through it, such as a port-forward, or where ``KUBECONFIG`` names it.
    """
    host = urlsplit(connection.endpoint).hostname or ""
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ
    named = os.environ.get("KUBECONFIG", "")
    if not (in_pod or named or (host in _LOCAL and Path("~/.kube/config").expanduser().is_file())):
        return None
    try:
        from kubernetes import client, config

        configuration = client.Configuration()
        if named or not in_pod:
            # The client reads KUBECONFIG once, when it is imported.
            config.load_kube_config(named or None, client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)
    except Exception:  # whatever a broken kubeconfig makes of it: nothing can be looked at
        return None
    configuration.retries = 0
    return Namespace(client.ApiClient(configuration), name)
