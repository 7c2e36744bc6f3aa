"""Minimal client for TrainJobs, their pods and logs.

Named in manifests/components/trainer/role.yaml: nothing else is asked for, but what any account may ask of itself.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dico.errors import AccessError, DicoError, TryAgainError, UsageError
from dico_pipelines.trainjob.trainjob import GROUP, PLURAL, VERSION

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SECONDS_TO_ANSWER = 30
JOB_LABEL, INDEX_LABEL = (
    "jobset.sigs.k8s.io/jobset-name",
    "batch.kubernetes.io/job-completion-index",
)


class Cluster:
    """One namespace of a cluster, by the client of Kubernetes.

    Every method raises `AccessError` where the account may not do it, `TryAgainError` where the
    API does not answer, `UsageError` where it refuses.
    """

    def __init__(self, api: Any, namespace: str, pod_name: str) -> None:
        from kubernetes import client

        self.namespace, self._pod_name, self._api = namespace, pod_name, api
        self._objects, self._core = client.CustomObjectsApi(api), client.CoreV1Api(api)
        self._place = (GROUP, VERSION, namespace, PLURAL)

    def own_pod(self) -> dict[str, Any]:
        """This step's pod, by the API's names."""
        pod = self._ask(
            "read the pod", self._core.read_namespaced_pod, self._pod_name, self.namespace
        )
        return dict(self._api.sanitize_for_serialization(pod))

    def create(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Creates a TrainJob; where one of its name is, that one."""
        create = self._objects.create_namespaced_custom_object
        try:
            return dict(self._ask("create the TrainJob", create, *self._place, job))
        except AlreadyThereError:
            found = self.get(job["metadata"]["name"])
            if found is None:
                raise TryAgainError(
                    f"TrainJob {job['metadata']['name']}: deleted as it was made"
                ) from None
            return found

    def get(self, name: str) -> dict[str, Any] | None:
        """A TrainJob, or none."""
        get = self._objects.get_namespaced_custom_object
        try:
            return dict(self._ask("read the TrainJob", get, *self._place, name))
        except NotThereError:
            return None

    def delete(self, name: str) -> None:
        """Deletes a TrainJob with its pods; nothing happens where none is."""
        delete = self._objects.delete_namespaced_custom_object
        try:
            policy = {"propagation_policy": "Foreground"}
            self._ask("delete the TrainJob", delete, *self._place, name, **policy)
        except NotThereError:
            return

    def may_create(self) -> bool:
        """Whether this account may create TrainJobs here."""
        from kubernetes import client

        wanted = client.V1ResourceAttributes(
            namespace=self.namespace, verb="create", group=GROUP, resource=PLURAL
        )
        spec = client.V1SelfSubjectAccessReviewSpec(resource_attributes=wanted)
        review = client.V1SelfSubjectAccessReview(spec=spec)
        ask = client.AuthorizationV1Api(self._api).create_self_subject_access_review
        return bool(self._ask("say what is allowed", ask, review).status.allowed)

    def has_trainer(self) -> bool:
        """Whether the cluster knows TrainJobs: a right may be granted for a kind that it has not."""
        from kubernetes import client

        groups = self._ask("list its kinds", client.ApisApi(self._api).get_api_versions).groups
        return GROUP in {group.name for group in groups}

    def pods(self, job: str) -> list[dict[str, Any]]:
        """The pods of a TrainJob, by the order of their nodes."""
        listed = self._ask(
            "list the pods",
            self._core.list_namespaced_pod,
            self.namespace,
            label_selector=f"{JOB_LABEL}={job}",
        )
        pods = [dict(self._api.sanitize_for_serialization(pod)) for pod in listed.items]
        return sorted(pods, key=lambda pod: (index_of(pod), pod["metadata"]["name"]))

    def log(self, pod: str, seconds: int | None) -> list[str]:
        """Lines of a pod's log, each with its time first; of the last ``seconds`` where given."""
        options = {"since_seconds": seconds} if seconds else {}
        try:
            answer = self._ask(
                "read the log",
                self._core.read_namespaced_pod_log,
                pod,
                self.namespace,
                container="node",
                timestamps=True,
                _preload_content=False,
                **options,
            )
        except (NotThereError, UsageError):  # the container waits for its image
            return []
        return list(answer.data.decode("utf-8", "replace").splitlines())

    def _ask(self, what: str, call: Any, *arguments: Any, **options: Any) -> Any:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return call(*arguments, _request_timeout=SECONDS_TO_ANSWER, **options)
        except ApiException as error:
            raise _error(what, self.namespace, error.status, _said(error)) from None
        except HTTPError as error:
            raise TryAgainError(
                f"Kubernetes does not answer when asked to {what}: {type(error).__name__}"
            ) from None


class NotThereError(UsageError):
    """There is no such object."""


class AlreadyThereError(UsageError):
    """There is an object of that name."""


def index_of(pod: Mapping[str, Any]) -> int:
    """The node's number that a pod is."""
    return int(pod["metadata"].get("labels", {}).get(INDEX_LABEL, "0"))


def connect() -> Cluster:
    """The cluster that this pod is in.

    Raises:
        UsageError: this is no pod.
    """
    from kubernetes import client, config

    try:
        config.load_incluster_config()
        namespace = (ACCOUNT / "namespace").read_text().strip()
    except (config.ConfigException, OSError):
        raise UsageError(
            "training on several nodes is started by a step in a cluster; here, set num_nodes to 1"
        ) from None
    pod = os.environ.get("KFP_POD_NAME") or os.environ.get("HOSTNAME", "")
    return Cluster(client.ApiClient(), namespace, pod)


def _error(what: str, namespace: str, status: int, said: str) -> DicoError:
    if status in (401, 403):
        return AccessError(
            f"the pod's account may not {what} in namespace {namespace}{said}; apply "
            "manifests/overlays/..., and run with service account dico"
        )
    if status == 404:
        return NotThereError(
            f"cannot {what} in namespace {namespace}{said}; is Kubeflow Trainer 2 installed?"
        )
    if status == 409:
        return AlreadyThereError(f"cannot {what}: there is one{said}")
    if status == 429 or status >= 500 or status == 0:
        return TryAgainError(f"Kubernetes cannot {what} now ({status}){said}")
    return UsageError(f"Kubernetes refuses to {what} ({status}){said}")


def _said(error: Any) -> str:
    import json

    try:
        return f" ({' '.join(str(json.loads(error.body)['message']).split())[:400]})"
    except (ValueError, KeyError, TypeError):
        return ""
