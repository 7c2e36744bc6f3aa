"""The objects of one namespace, as a kubeconfig that may read some of them sees them."""

import json
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.local_server import Handler, LocalServer

KINDS = {
    "serviceaccounts": "ServiceAccount", "persistentvolumeclaims": "PersistentVolumeClaim",
    "secrets": "Secret", "services": "Service", "namespaces": "Namespace", "nodes": "Node",
}  # fmt: skip


class KubeServer:
    """A namespace; ``objects`` are kind and name to content, ``forbidden`` kinds answer 403."""

    def __init__(self, namespace="kubeflow"):
        self.namespace = namespace
        self.objects = {
            ("serviceaccounts", "pipeline-runner"): {},
            ("services", "ml-pipeline"): {},
            ("persistentvolumeclaims", "dico"): {"spec": {"accessModes": ["ReadWriteOnce"]}},
            ("secrets", "dico"): {},
        }
        self.nodes = [node("a")]
        self.labels, self.forbidden, self.workflows = {}, set(), []
        self.has_expired, self.num_asked = False, 0

    def handle(self, path, method="GET"):
        """The answer to a reading of ``path``: status and JSON; nothing may be changed."""
        self.num_asked += 1
        if self.has_expired:
            return 401, {"message": "Unauthorized"}
        if method != "GET":
            return 405, {"message": "read only"}
        parts = urlsplit(path).path.strip("/").split("/")
        if parts[-1] == "nodes":
            return self._answer("nodes", {"kind": "NodeList", "items": self.nodes})
        if parts[-1] == "workflows":
            return self._answer("workflows", {"items": self.workflows})
        if parts[-2] == "namespaces":
            return self._answer("namespaces", {"metadata": {"labels": self.labels}})
        kind, name = parts[-2:]
        there = parts[-3] == self.namespace
        found = self.objects.get((kind, name)) if there else None
        if kind not in self.forbidden and found is None:
            return 404, {"message": f"{kind} {name} not found"}
        return self._answer(kind, {"metadata": {"name": name}, **(found or {})})

    def _answer(self, kind, content):
        if kind in self.forbidden:
            return 403, {"message": f"{kind} is forbidden"}
        return 200, {"kind": KINDS.get(kind, ""), **content}


def node(name, images=(), taints=()):
    listed = [{"names": [image], "sizeBytes": 1} for image in images]
    return {
        "metadata": {"name": name},
        "spec": {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints]},
        "status": {"images": listed},
    }


@contextmanager
def serving(server, folder):
    """A kubeconfig that leads to ``server``."""

    class Answering(Handler):
        def do_GET(self):
            self.answer(*server.handle(self.path))

        def do_DELETE(self):
            self.body()
            self.answer(*server.handle(self.path, "DELETE"))

    with LocalServer(Answering) as http:
        named = {"name": "x"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "x",
            "clusters": [{**named, "cluster": {"server": http.url}}],
            "users": [{**named, "user": {"token": "t"}}],
            "contexts": [{**named, "context": {"cluster": "x", "user": "x"}}],
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(config))
        yield path
