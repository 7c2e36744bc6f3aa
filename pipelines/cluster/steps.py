"""The steps of a submitted run, told from the nodes that Kubeflow Pipelines lists.

The API lists the nodes of Argo's workflow (drivers, groups, tries) by their short names. A node
knows the ids of its children and not its own, but an id is the workflow's name and a hash (FNV-1a,
32 bits) of the node's path. So paths are put together from the names that are listed, and those are
kept whose id is somebody's child.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_ID = re.compile(r"(.+)-\d+")
_TRY = re.compile(r"\(\d+\)$")
_CONTAINER = re.compile(r"(?:^|.*\.)([^.()]+)(?:\(\d+\))?\.executor(\(\d+\))?$")
_DRIVER = re.compile(r"(?:^|.*\.)([^.()]+)-driver(?:\(\d+\))?$")
_POD = re.compile(r"executor(\(\d+\))?$")
_STATES = {
    "SUCCEEDED": "done", "SKIPPED": "cached", "CACHED": "cached", "FAILED": "failed",
    "ERROR": "failed", "CANCELED": "stopped", "CANCELING": "stopped", "RUNNING": "running",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StepState:
    """A step as it stands."""

    name: str
    """Its name in the pipeline, such as train-evaluator."""
    state: str
    """pending, running, done, cached, failed or stopped."""
    started: datetime | None
    """When its first pod was made."""
    ended: datetime | None
    """When it ended."""
    node_ids: tuple[str, ...]
    """Its container's tries, what their logs are asked for by; the driver's where there is none."""


def steps_of(task_details: Sequence[Any]) -> list[StepState]:
    """The steps of a run, in the order in which they began.

    Args:
        task_details: ``run_details.task_details`` of the run, as the client of kfp gives it.
    """
    listed: dict[str, list[Any]] = {}
    for task in task_details:
        listed.setdefault(task.display_name or "", []).append(task)
    containers: dict[str, list[str]] = {}
    drivers: dict[str, list[str]] = {}
    paths = _paths(task_details, listed)
    for path in sorted(paths):
        if match := _CONTAINER.match(path):
            containers.setdefault(match[1], []).append(path)
        elif match := _DRIVER.match(path):
            drivers.setdefault(match[1], []).append(path)
    steps = []
    for name in dict.fromkeys([*drivers, *containers]):
        if not _is_group(name, paths):
            node_ids = _tries(containers.get(name, []), paths)
            node_ids = node_ids or _tries(drivers.get(name, []), paths)
            steps.append(_step(name, listed, node_ids))
    return sorted(steps, key=lambda step: (str(step.started or "9"), step.name))


def node_id_of(workflow: str, path: str) -> str:
    """Argo's id of a node: FNV-1a of its path."""
    if path == workflow:
        return workflow
    digest = 0x811C9DC5
    for byte in path.encode():
        digest = ((digest ^ byte) * 0x01000193) & 0xFFFFFFFF
    return f"{workflow}-{digest}"


def _paths(task_details: Sequence[Any], names: Mapping[str, Any]) -> dict[str, str]:
    """Path of every node that can be placed, and its id."""
    ids = {c.pod_name for task in task_details for c in task.child_tasks or [] if c.pod_name}
    workflow = next((match[1] for match in map(_ID.fullmatch, sorted(ids)) if match), "")
    known, fresh = {workflow: workflow}, [workflow] if workflow else []
    while fresh:
        path = fresh.pop()
        for longer in {longer for name in names for longer in _children(path, name)}:
            node_id = node_id_of(workflow, longer)
            if node_id in ids and longer not in known:
                known[longer] = node_id
                fresh.append(longer)
    return known


def _children(path: str, name: str) -> Iterator[str]:
    """Paths that a node called ``name`` has where its parent is at ``path``."""
    yield f"{path}.{name}"
    attempt = _TRY.search(name)
    if attempt and name.removesuffix(attempt[0]) == path.rpartition(".")[2]:
        yield path + attempt[0]


def _is_group(name: str, paths: Mapping[str, str]) -> bool:
    """Whether ``name`` holds steps: an exit handler, a condition, the whole run."""
    inside = re.compile(rf"(?:^|.*\.){re.escape(name)}(?:\(\d+\))?\.(?!executor)")
    return any(inside.match(path) for path in paths)


def _tries(containers: Sequence[str], paths: Mapping[str, str]) -> tuple[str, ...]:
    """Ids of the pods; the node that only counts the tries is none, where pods are there."""
    pods = [path for path in containers if _TRY.search(path)]
    return tuple(paths[path] for path in pods or containers)


def _step(name: str, listed: Mapping[str, list[Any]], node_ids: tuple[str, ...]) -> StepState:
    driver = _latest(listed, f"{name}-driver")
    task = _latest(listed, name)
    state = _state(task) if task else "failed" if _state(driver) == "failed" else "pending"
    started = _time(driver.start_time if driver else task.start_time)
    if task is not None and state in ("running", "done"):
        state = _state_of_pod(task, listed, state)
    ended = _time(task.end_time) if task else None
    return StepState(name, state, started, ended, node_ids)


def _latest(listed: Mapping[str, list[Any]], name: str) -> Any:
    """The node called ``name`` itself, which counts the tries, else the last try."""
    tries = [key for key in listed if key.partition("(")[0] == name and _TRY.search(key)]
    key = name if name in listed else max(tries, default="")
    return listed[key][0] if key else None


def _state_of_pod(task: Any, listed: Mapping[str, list[Any]], state: str) -> str:
    """What a step's pod adds to the state of its group: pending, or left out for the cache.

    Pods are all called alike; those of a step are told by the second in which it began, so one that
    began together with a pending one counts as pending until it has a log.
    """
    pods = [pod for name in listed if _POD.match(name) for pod in listed[name]]
    own = {pod.state for pod in pods if _seconds(pod.start_time, task.start_time) < 2}
    if state == "done":
        return "cached" if own == {"SKIPPED"} else "done"
    return "pending" if own & {"PENDING", None} else state


def _state(task: Any) -> str:
    return _STATES.get(task.state or "PENDING", "pending") if task else "pending"


def _time(time: datetime | None) -> datetime | None:
    return time if time is not None and time.year > 2000 else None


def _seconds(one: datetime | None, other: datetime | None) -> float:
    return abs((one - other).total_seconds()) if one and other else float("inf")
