"""Workflows as Argo 4.0 makes them of Kubeflow's pipelines, and as Kubeflow lists their nodes.

To each step: a driver's pod, and where that finds nothing in the cache a group with a container.
Every one of them is tried up to three times (Kubeflow's template defaults), so each is a node that
counts the tries, called NAME, with a node for each try, called NAME(0).
"""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
UNSCHEDULABLE = 'Unschedulable: 0/1 nodes are available: persistentvolumeclaim "dico" not found.'


def node_id(workflow, path):
    """FNV-1a of 32 bits, as Go's hash/fnv has it."""
    digest = 2166136261
    for byte in path.encode():
        digest = (digest ^ byte) * 16777619 % 2**32
    return f"{workflow}-{digest}"


class Workflow:
    """Steps of one run, in one exit handler; ``polls`` are called one for each look at it."""

    def __init__(self, name):
        self.name, self.nodes, self.logs, self.polls = name, {}, {}, []
        self.group = f"{name}.root.exit-handler-1"
        self.seconds = 0

    def begin(self):
        """The drivers of the run and of its exit handler have run."""
        self._retried(f"{self.name}.root-driver", "Succeeded")
        self._retried(f"{self.name}.root", "Running", "DAG")
        self._retried(f"{self.name}.root(0).exit-handler-1-driver", "Succeeded")
        self._retried(f"{self.name}.root(0).exit-handler-1", "Running", "DAG")
        self.group = f"{self.name}.root(0).exit-handler-1(0)"
        return self

    def first_driver(self, phase, message):
        """The driver of the run stands so, and nothing else has begun."""
        self._retried(f"{self.name}.root-driver", phase, message=message)

    def step(self, name, phase, log=None, message="", tries=1, driver="Succeeded"):
        """A step as it stands; ``phase`` is that of its container: Omitted for a cached one."""
        self.seconds += 10
        self._retried(f"{self.group}.{name}-driver", driver, message="" if phase else message)
        if driver != "Succeeded":
            return self
        group = {"Omitted": "Succeeded", "Pending": "Running"}.get(phase, phase)
        self._retried(f"{self.group}.{name}", group, "DAG")
        inner = f"{self.group}.{name}(0)"
        if phase == "Omitted":
            self._add(f"{inner}.executor", "Omitted", "Skipped", [])
            self._adopt(inner, f"{inner}.executor")
            return self
        path = f"{inner}.executor"
        self._retried(path, group, message=message, tries=tries)
        self._adopt(inner, path)
        self.nodes[f"{path}({tries - 1})"]["phase"] = phase
        if log is not None:
            self.logs[node_id(self.name, f"{path}({tries - 1})")] = log
        return self

    def _retried(self, path, phase, kind="Pod", message="", tries=1):
        pods = [f"{path}({number})" for number in range(tries)]
        self._add(path, phase, "Retry", pods, message)
        for pod in pods:
            self._add(pod, phase, kind, [], message)
        parent = path.rpartition(".")[0]
        if parent in self.nodes:
            self._adopt(parent, path)

    def _adopt(self, parent, path):
        children = self.nodes[parent]["children"]
        if path not in children:
            children.append(path)

    def _add(self, path, phase, kind, children, message=""):
        display = path.rpartition(".")[2]
        time = START + timedelta(seconds=self.seconds)
        before = self.nodes.get(path, {})
        self.nodes[path] = {
            "name": path, "displayName": display, "phase": phase, "type": kind, "message": message,
            "children": list(children) or before.get("children", []), "startedAt": time,
        }  # fmt: skip

    def poll(self):
        """Goes on by one of the polls."""
        if self.polls:
            self.polls.pop(0)(self)

    def task_details(self):
        """The nodes as the API lists them: by their short names, no ids but those of children."""
        states = {"Omitted": "SKIPPED", "Error": "FAILED"}
        return [
            {
                "run_id": "run-1",
                "task_id": f"uuid-{number}",
                "display_name": node["displayName"],
                "create_time": f"{node['startedAt']:%Y-%m-%dT%H:%M:%SZ}",
                "start_time": f"{node['startedAt']:%Y-%m-%dT%H:%M:%SZ}",
                "end_time": f"{node['startedAt'] + timedelta(seconds=8):%Y-%m-%dT%H:%M:%SZ}"
                if node["phase"] not in ("Running", "Pending")
                else "1970-01-01T00:00:00Z",
                "state": states.get(node["phase"], node["phase"].upper()),
                "child_tasks": [
                    {"pod_name": node_id(self.name, path)} for path in node["children"]
                ],
            }
            for number, (_, node) in enumerate(sorted(self.nodes.items()))
        ]

    def to_kubernetes(self):
        """The Workflow's status, its nodes by id."""
        return {
            "metadata": {"name": self.name},
            "status": {
                "nodes": {
                    node_id(self.name, path): {
                        key: node[key] for key in ("name", "phase", "type", "message")
                    }
                    for path, node in self.nodes.items()
                }
            },
        }
