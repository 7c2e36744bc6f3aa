"""A server that records what the real kfp client sends, and refuses what the published API would.

The operations are those of KFP's OpenAPI v2beta1 (Apache-2.0) that are used here: method, path,
query parameters, model of the body. A body is checked against the model classes that KFP publishes
as kfp-server-api: no unknown field, each of its type. Values are checked against the pipeline's
parameters by the rules of KFP's own API server, as seen on a real one (2.17.0): a text where a number
is declared is refused, a fraction for a whole number is taken, numbers become protobuf's doubles.
Alone, it puts every run into its own namespace whatever is asked for. No error is in what v2beta1 says
of a run: reasons are in the Workflow, which v1beta1 holds as a text (as read in the source of 2.17.0);
logs are found by a node's id, under v1alpha1 only, and come line by line where they are followed.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from kfp_server_api import models

from tests.local_server import Handler, LocalServer
from tests.pipelines.cluster.argo import Workflow
from tests.published_models import mistakes

RUN_V1 = re.compile(r"/apis/v1beta1/runs/([^/]+)")
LOG = re.compile(r"/apis/v1alpha1/runs/[^/]+/nodes/([^/]+)/log")
PAGES = {"page_token", "page_size", "sort_by", "filter", "namespace"}
OPERATIONS = {
    ("GET", "healthz"): (set(), None),
    ("GET", "experiments"): (PAGES, None),
    ("POST", "experiments"): (set(), "V2beta1Experiment"),
    ("GET", "runs"): (PAGES | {"experiment_id"}, None),
    ("POST", "runs"): ({"experiment_id"}, "V2beta1Run"),
    ("GET", "runs/{id}"): ({"experiment_id"}, None),
    ("GET", "recurringruns"): (PAGES | {"experiment_id"}, None),
    ("POST", "recurringruns"): (set(), "V2beta1RecurringRun"),
    ("DELETE", "recurringruns/{id}"): ({"propagation_policy"}, None),
}
KINDS = {
    "STRING": str, "NUMBER_INTEGER": (int, float), "NUMBER_DOUBLE": (int, float), "BOOLEAN": bool,
    "LIST": list, "STRUCT": dict,
}  # fmt: skip


class KfpServer:
    """Experiments, runs and recurring runs in memory; ``refused`` holds what breaks the API."""

    def __init__(self):
        self.requests, self.refused = [], []
        self.experiments, self.runs, self.recurring = [], [], []
        self.tag, self.multi_user, self.answers_v1beta1 = "2.17.0", False, True
        self.token = ""
        self.answer, self.location = None, "/dex/auth"
        self.states = ["SUCCEEDED"]
        self.failures_of_runs = 0
        self.workflow = Workflow("dico-x7k2p")
        self.has_ui = False
        self.may_delete = True

    def handle(self, method, url, headers, body):
        """The answer to one request: status and JSON, or a page."""
        parts = urlsplit(url)
        if parts.path == "/":  # the service of the API has no page, the one of the UI has both
            return (200, "<!doctype html><html></html>") if self.has_ui else (404, {"code": 5})
        if log := LOG.fullmatch(parts.path):
            self.requests.append((method, parts.path, {}, None))
            text = self.workflow.logs.get(log[1])
            if "follow=true" in parts.query and callable(text):
                return 200, text()
            return (200, text) if text is not None else (500, {"message": "pod not found"})
        if run := RUN_V1.fullmatch(parts.path):
            self.requests.append((method, parts.path, {}, None))
            return self._run_with_workflow(run[1])
        path = parts.path.removeprefix("/apis/v2beta1/")
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.requests.append((method, path, query, body))
        if self.answer is not None:
            return self.answer
        if self.token and headers.get("authorization") != f"Bearer {self.token}":
            return 401, {"message": "unauthenticated"}
        collection, _, name = path.partition("/")
        if collection == "runs" and name and self.failures_of_runs:
            self.failures_of_runs -= 1
            return 503, {"message": "restarting"}
        if collection == "runs" and name and name not in [run["run_id"] for run in self.runs]:
            return 404, {"code": 5, "message": f"ResourceNotFoundError: Run {name} not found."}
        operation = OPERATIONS.get((method, f"{collection}/{{id}}" if name else collection))
        if method == "DELETE" and not self.may_delete:
            return 403, {"message": "no"}
        if operation is None:
            return self._refuse(404, f"no operation {method} {parts.path}")
        parameters, model = operation
        wrong = [f"query parameter {key}" for key in query.keys() - parameters]
        if model:
            wrong += list(mistakes(with_whole_numbers_as_texts(body), model, models))
            wrong += list(wrong_values(body))
        if wrong:
            return self._refuse(400, "; ".join(wrong))
        return 200, getattr(self, f"_{method.lower()}_{collection}")(name, query, body)

    def _run_with_workflow(self, run_id):
        if not self.answers_v1beta1:
            return 404, {"code": 5, "message": "Not Found", "details": []}
        manifest = json.dumps(self.workflow.to_kubernetes())
        runtime = {"workflow_manifest": manifest} if self.workflow.nodes else {}
        return 200, {"run": {"id": run_id}, "pipeline_runtime": runtime}

    def _refuse(self, status, message):
        self.refused.append(message)
        return status, {"message": message}

    def _get_healthz(self, name, query, body):
        return {"commit_sha": "0" * 40, "tag_name": self.tag, "multi_user": self.multi_user}

    def _get_experiments(self, name, query, body):
        return {"experiments": matching(self.experiments, query)}

    def _post_experiments(self, name, query, body):
        return add(self.experiments, "experiment_id", body)

    def _post_runs(self, name, query, body):
        return add(self.runs, "run_id", through_protobuf(body))

    def _get_runs(self, name, query, body):
        if not name:
            return {"runs": matching(self.runs, query)[::-1]}
        (run,) = [run for run in self.runs if run["run_id"] == name]
        run["state"] = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if self.workflow.nodes:
            run["run_details"] = {"task_details": self.workflow.task_details()}
        self.workflow.poll()
        return run

    def _get_recurringruns(self, name, query, body):
        return {"recurringRuns": matching(self.recurring, query)}

    def _post_recurringruns(self, name, query, body):
        return add(self.recurring, "recurring_run_id", through_protobuf(body))

    def _delete_recurringruns(self, name, query, body):
        self.recurring = [run for run in self.recurring if run["recurring_run_id"] != name]
        return {}


def with_whole_numbers_as_texts(body):
    """64-bit numbers are texts in the published models; protobuf reads either, and kfp sends both."""
    number = body.get("max_concurrency")
    return {**body, "max_concurrency": str(number)} if isinstance(number, int) else body


def through_protobuf(body):
    """What is left of numbers: 1.0 is 1, and of a large one what a double holds."""
    if isinstance(body, dict):
        return {key: through_protobuf(value) for key, value in body.items()}
    if isinstance(body, list):
        return [through_protobuf(value) for value in body]
    if isinstance(body, bool) or not isinstance(body, int | float):
        return body
    return int(float(body)) if float(body).is_integer() else body


def add(collection, key, body):
    made = {"created_at": "2026-11-23T03:00:00Z", key: f"{key.split('_')[0]}-{len(collection) + 1}"}
    collection.append({**body, **made})
    return collection[-1]


def matching(collection, query):
    """Those that the filter's display name, the experiment and the namespace allow."""
    found = collection
    if query.get("filter"):
        (predicate,) = json.loads(query["filter"])["predicates"]
        assert predicate["operation"] in (1, "EQUALS"), predicate
        assert predicate["key"] == "display_name", predicate
        found = [item for item in found if item["display_name"] == predicate["stringValue"]]
    if query.get("experiment_id"):
        found = [item for item in found if item["experiment_id"] == query["experiment_id"]]
    return found


def wrong_values(body):
    """Values that KFP's API server refuses for the pipeline in ``body``."""
    spec = body.get("pipeline_spec") or {}
    spec = spec.get("pipeline_spec", spec)
    declared = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    given = body.get("runtime_config", {}).get("parameters", {})
    for name, value in given.items():
        if name not in declared:
            yield f"parameter {name}: not declared"
            continue
        kind = declared[name]["parameterType"]
        right = isinstance(value, KINDS[kind])
        if not right or (isinstance(value, bool) and kind != "BOOLEAN"):
            yield f"input parameter {name} requires type {kind}, got {value!r}"
    for name, parameter in declared.items():
        if (
            name not in given
            and "defaultValue" not in parameter
            and not parameter.get("isOptional")
        ):
            yield f"parameter {name} has neither a default value nor a value"


@contextmanager
def serving(server, certificate=None):
    """The address of ``server``, which answers until the block ends; by TLS with a certificate."""

    class Answering(Handler):
        def _answer(self):
            body = self.json_body()
            status, said = server.handle(self.command, self.path, self.headers, body)
            if isinstance(said, Iterator):
                self.stream(said)
                return
            self.answer(status, said, {"Location": server.location} if 300 <= status < 400 else {})

        do_GET = do_POST = do_DELETE = _answer

    with LocalServer(Answering, certificate) as http:
        yield http.url
