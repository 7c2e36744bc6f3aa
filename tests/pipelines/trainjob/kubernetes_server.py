"""A small Kubernetes: TrainJobs, the pods of one, their logs. One look at a TrainJob moves it on."""

import re
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from kubernetes import client

from dico_pipelines.trainjob.kubernetes import Cluster
from tests.local_server import Handler, LocalServer

JOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/team/trainjobs"
PODS = "/api/v1/namespaces/team/pods"

OWN_POD = {
    "metadata": {
        "name": "dico-abc-impl",
        "labels": {"pipeline/runid": "run-1"},
    },
    "spec": {
        "serviceAccountName": "dico",
        "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}],
        "volumes": [
            {"name": "dico", "persistentVolumeClaim": {"claimName": "dico"}},
            {"name": "dshm", "emptyDir": {"medium": "Memory"}},
        ],
        "containers": [
            {"name": "wait", "image": "argoexec"},
            {
                "name": "main",
                "image": "registry.example/dico@sha256:0",
                "env": [
                    {"name": "KFP_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "x"}}},
                    {"name": "DICO_WORK", "value": "/data"},
                    {
                        "name": "AWS_ACCESS_KEY_ID",
                        "valueFrom": {"secretKeyRef": {"name": "dico", "key": "AWS_ACCESS_KEY_ID"}},
                    },
                    {
                        "name": "DICO_RUN",
                        "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['x']"}},
                    },
                ],
                "volumeMounts": [
                    {"name": "dico", "mountPath": "/data"},
                    {"name": "dshm", "mountPath": "/dev/shm"},
                ],
            },
        ],
    },
}


class KubernetesServer:
    """One namespace, ``team``.

    Attributes:
        script: states that a TrainJob goes through, one for each look: conditions, pods, log.
        refuse: method and path's end to the answer that they get.
        failures_after_creation: statuses of the requests that follow a creation.
        done: called when the last state is reached.
    """

    def __init__(self):
        self.requests, self.jobs, self.created = [], {}, []
        self.script, self.refuse, self.failures = [({}, [], [])], {}, []
        self.failures_after_creation = []
        self.allowed = set()
        self.groups = ["apps", "trainer.kubeflow.org"]
        self.done = lambda: None
        self.step = 0

    def handle(self, method, url, body):
        """The answer to one request: status and JSON, or text."""
        parts = urlsplit(url)
        path, query = parts.path, parse_qs(parts.query)
        self.requests.append((method, path))
        if self.failures:
            return self.failures.pop(0), {"message": "away"}
        for (refused, end), answer in self.refuse.items():
            if method == refused and path.endswith(end):
                return answer
        if path == "/apis/":
            groups = [{"name": name, "versions": []} for name in self.groups]
            return 200, {"kind": "APIGroupList", "groups": groups}
        if path.endswith("/selfsubjectaccessreviews"):
            asked = body["spec"]["resourceAttributes"]
            allowed = tuple(asked[key] for key in ("verb", "group", "resource")) in self.allowed
            return 201, {**body, "status": {"allowed": allowed}}
        if path.startswith(JOBS):
            return self._jobs(method, path.removeprefix(JOBS).strip("/"), body)
        if path == PODS:
            return self._pods(query)
        log = re.fullmatch(rf"{PODS}/([^/]+)/log", path)
        if log:
            return 200, "".join(f"{line}\n" for line in self._state()[2])
        return 200, {"apiVersion": "v1", "kind": "Pod", **OWN_POD}

    def _state(self):
        return self.script[min(self.step, len(self.script) - 1)]

    def _jobs(self, method, name, body):
        if method == "POST":
            name = body["metadata"]["name"]
            if name in self.jobs:
                return 409, {"message": f"{name} already exists"}
            self.jobs[name] = body
            self.created.append(body)
            self.failures = list(self.failures_after_creation)
            return 201, body
        if name not in self.jobs:
            return 404, {"message": f"trainjobs {name} not found"}
        if method == "DELETE":
            return 200, self.jobs.pop(name)
        job = self.jobs[name]
        if "status" in job:
            return 200, job
        self.step += 1
        conditions = self._state()[0]
        if {"Complete": "True"}.items() <= conditions.items():
            self.done()
        listed = [
            {"type": kind, "status": status, "reason": "R", "message": "m"}
            for kind, status in conditions.items()
        ]
        return 200, {**job, "status": {"conditions": listed}}

    def _pods(self, query):
        (selector,) = query["labelSelector"]
        assert selector.removeprefix("jobset.sigs.k8s.io/jobset-name=") in self.jobs
        return 200, {"apiVersion": "v1", "kind": "PodList", "items": self._state()[1]}


def pod(index, phase="Running", **status):
    labels = {"batch.kubernetes.io/job-completion-index": str(index)}
    metadata = {"name": f"job-node-0-{index}", "labels": labels}
    return {"metadata": metadata, "status": {"phase": phase, **status}}


@contextmanager
def serving(server):
    """A `Cluster` that the real client of Kubernetes reaches over HTTP."""

    class Answering(Handler):
        def _answer(self):
            self.answer(*server.handle(self.command, self.path, self.json_body()))

        do_GET = do_POST = do_DELETE = _answer

    with LocalServer(Answering) as http:
        configuration = client.Configuration(host=http.url)
        configuration.retries = 0
        with client.ApiClient(configuration) as api:
            yield Cluster(api, "team", "dico-abc-impl")
