"""Looks at a namespace as far as a kubeconfig allows: objects, pods, workflows.

Nothing here is needed to submit. Where there is no kubeconfig, no right or no answer, nothing is
found out, and nobody is told that something is missing.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dico_pipelines.cluster.connection import Connection, is_this_machine
from dico_pipelines.cluster.unreachable import cause

SECONDS_TO_ANSWER = 10


@dataclass(slots=True)
class Namespace:
    """One namespace, as far as the account of the kubeconfig may read it."""

    api: Any
    """Client of Kubernetes."""
    name: str
    """Its name."""
    trouble: str = ""
    """Why nothing can be found out: no answer, or a login that is refused; nothing is asked then."""

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

        if self.trouble:
            return None
        try:
            answer = call(*arguments, _request_timeout=SECONDS_TO_ANSWER, **options)
        except ApiException as error:
            if error.status == 401:
                self.trouble = "it refuses the kubeconfig's login, which may have expired"
            return {} if error.status == 404 else None
        except (HTTPError, OSError) as error:
            self.trouble = f"it does not answer ({cause(error)})"
            return None
        return dict(self.api.sanitize_for_serialization(answer))


def open_namespace(connection: Connection, name: str) -> Namespace | None:
    """The namespace ``name`` by the kubeconfig of this machine, or by the account of this pod.

    A kubeconfig may lead to another cluster than Kubeflow's address does. It is asked only where
    the address is a way through it, such as a port-forward, or where ``KUBECONFIG`` names it.
    """
    try:
        configuration = _configuration(connection)
    except Exception:  # whatever a broken kubeconfig makes of it: nothing can be looked at
        return None
    if configuration is None:
        return None
    from kubernetes import client

    return Namespace(client.ApiClient(configuration), name)


def trouble_with_kubeconfig(connection: Connection) -> str:
    """Why the kubeconfig that would be asked cannot be used; empty where it can, or none would."""
    try:
        _configuration(connection)
    except Exception as error:  # the client raises what its parts do
        source = os.environ.get("KUBECONFIG") or "~/.kube/config"
        return f"{source}: {' '.join(str(error).split())[:200]}"
    return ""


def _configuration(connection: Connection) -> Any:
    """How Kubernetes is reached; None where nobody has to be asked."""
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ
    named = os.environ.get("KUBECONFIG", "")
    at_home = Path("~/.kube/config").expanduser().is_file()
    if not (in_pod or named or (is_this_machine(connection.endpoint) and at_home)):
        return None
    from kubernetes import client, config

    configuration = client.Configuration()
    if named or not in_pod:
        # The client reads KUBECONFIG once, when it is imported.
        config.load_kube_config(named or None, client_configuration=configuration)
    else:
        config.load_incluster_config(client_configuration=configuration)
    configuration.retries = 0
    return configuration
