"""Follows a TrainJob: what its pods wait for, what the first node logs, how it ends."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dico.errors import TryAgainError
from dico_pipelines.cures import with_cure
from dico_pipelines.trainjob.kubernetes import Cluster, index_of

SECONDS_WITHOUT_ANSWER = 600.0
"""How long Kubernetes may be away before the step gives up; the TrainJob goes on."""

NOT_SCHEDULED = "not scheduled"

SECONDS_OF_OVERLAP = 30
"""How far each look at the log goes back beyond the last one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a TrainJob ended."""

    failed: bool
    """Whether it failed."""
    reason: str = ""
    """What Kubernetes says of it."""


class Follower:
    """Looks at a TrainJob again and again, and prints what is new."""

    def __init__(self, cluster: Cluster, name: str, pause: float) -> None:
        self._cluster, self._name, self._pause = cluster, name, pause
        self._state = ""
        self._last_line: dict[str, str] = {}
        self._last_look: dict[str, float] = {}

    def follow(self) -> Outcome:
        """Returns when the TrainJob has ended.

        Raises:
            TryAgainError: Kubernetes is away for long.
        """
        answered = time.monotonic()
        while True:
            try:
                outcome = self._poll()
                answered = time.monotonic()
            except TryAgainError as error:
                if time.monotonic() - answered > SECONDS_WITHOUT_ANSWER:
                    raise
                self._say(str(error))
                outcome = None
            if outcome is not None:
                return outcome
            time.sleep(self._pause)

    def _poll(self) -> Outcome | None:
        job = self._cluster.get(self._name)
        if job is None:
            return Outcome(True, "deleted by somebody else")
        pods = self._cluster.pods(self._name)
        outcome = _outcome(job)
        if outcome is None:
            self._say(describe(job, pods))
        for pod in pods:
            if index_of(pod) == 0 and pod["status"].get("phase") != "Pending":
                self._print_log(pod["metadata"]["name"])
        return outcome

    def _say(self, state: str) -> None:
        if state and state != self._state:
            print(f"TrainJob {self._name}: {state}", flush=True)
        self._state = state

    def _print_log(self, pod: str) -> None:
        """Prints lines later than the last one: their times tell, whatever was read twice."""
        now = time.monotonic()
        before = self._last_look.get(pod)
        seconds = None if before is None else int(now - before) + SECONDS_OF_OVERLAP
        for line in self._cluster.log(pod, seconds):
            stamp, _, text = line.partition(" ")
            if stamp > self._last_line.get(pod, ""):
                print(text, flush=True)
                self._last_line[pod] = stamp
        self._last_look[pod] = now


def describe(job: Mapping[str, Any], pods: list[dict[str, Any]]) -> str:
    """One line: what a TrainJob is at, and what it waits for."""
    for condition in job.get("status", {}).get("conditions", []):
        if condition["type"] == "Suspended" and condition["status"] == "True":
            return "suspended; a queue may be holding it until there is room"
    if not pods:
        return "waiting for its pods"
    num_running = sum(pod["status"].get("phase") in ("Running", "Succeeded") for pod in pods)
    reasons = sorted({reason for pod in pods if (reason := waits_for(pod))})
    line = f"{num_running} of {len(pods)} pods running"
    if any(reason.startswith(NOT_SCHEDULED) for reason in reasons):
        line += f" (asked for {asked_for(job)})"
    return f"{line}; {with_cure('; '.join(reasons))}" if reasons else line


def asked_for(job: Mapping[str, Any]) -> str:
    """What a TrainJob asks the scheduler for, such as ``2 nodes x 4 CPUs, 16 GiB``."""
    trainer = job.get("spec", {}).get("trainer", {})
    resources = trainer.get("resourcesPerNode") or {}
    amounts = {**resources.get("limits", {}), **resources.get("requests", {})}
    words = [_amount(kind, str(amount)) for kind, amount in amounts.items()]
    return f"{trainer.get('numNodes', 1)} nodes x {', '.join(words) or 'what the runtime asks'}"


def _amount(kind: str, amount: str) -> str:
    if kind == "cpu":
        return f"{amount} CPUs"
    if kind == "memory":
        return re.sub(r"(\d)([KMGT]i?)$", r"\1 \2B", amount)
    return f"{amount} {kind}"


def waits_for(pod: Mapping[str, Any]) -> str:
    """Why a pod does not run yet: no node for it, or no image; empty where it runs."""
    status = pod["status"]
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{NOT_SCHEDULED}: {condition.get('message', condition.get('reason', ''))}"
    for container in status.get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    return ""


def _outcome(job: Mapping[str, Any]) -> Outcome | None:
    for condition in job.get("status", {}).get("conditions", []):
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed"):
            reason = f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
            return Outcome(condition["type"] == "Failed", reason)
    return None
