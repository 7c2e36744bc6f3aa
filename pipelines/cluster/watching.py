"""A submitted run, shown in the terminal: its steps as they go, and why one failed."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from dico.errors import AccessError, DicoError, TryAgainError, UsageError
from dico.process.exits import EXIT_CODES, INTERRUPTED
from dico.process.progress import format_seconds
from dico_pipelines.cluster.client import kfp_client
from dico_pipelines.cluster.connection import Connection, connection_from_environment
from dico_pipelines.cluster.finding import find_run, run_of_id, state_of
from dico_pipelines.cluster.logs import log_of, read_end
from dico_pipelines.cluster.reasons import HOME, reasons_of
from dico_pipelines.cluster.steps import StepState, steps_of

POLL_SECONDS = 10.0
SECONDS_PENDING = 60.0
"""How long a step may wait for its pod before that is said."""
FAILURES_IN_A_ROW = 30
"""Looks that may fail, one after the other, while a run is followed."""

SUCCEEDED, ENDED = "SUCCEEDED", ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
_MARKS = {"done": "✓", "cached": "·", "failed": "✗", "stopped": "✗", "running": ">", "pending": "…"}


class RunFailedError(DicoError):
    """A submitted run ended without success; ``exit_code`` is that of the step that failed."""

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code if exit_code in EXIT_CODES else DicoError.exit_code


class NoLongerWatchedError(DicoError):
    """A run that goes on was waited for, until somebody interrupted that."""

    exit_code = INTERRUPTED


def show_run(
    run: str,
    endpoint: str = "",
    namespace: str = "",
    token_file: str = "",
    wait: bool = False,
    poll_seconds: float = POLL_SECONDS,
) -> list[StepState]:
    """Prints the steps of a run as they stand, and why one failed.

    Args:
        run: id of the run, or its name where no other has it.
        endpoint: address of Kubeflow Pipelines.
        namespace: profile to work in.
        token_file: file with a bearer token.
        wait: whether to go on until the run ends, as ``submit`` does with ``wait``.
        poll_seconds: pause between two polls while waiting.

    Raises:
        UsageError: there is no such run, or several have that name.
        RunFailedError: the run was waited for and failed.
        AccessError: a token or a right is missing.
        TryAgainError: the server cannot be reached.
    """
    connection = connection_from_environment(endpoint, namespace, token_file)
    with kfp_client(connection) as client:
        found = find_run(client, connection, run)
    run_id = found.run_id
    print(f"{found.display_name or run_id}: {state_of(found)}")
    if wait:
        return await_run(
            lambda: connection_from_environment(endpoint, namespace, token_file),
            run_id,
            poll_seconds,
        )
    steps = _poll(connection, found)
    reasons = _reasons(connection, run_id, steps)
    for step in steps:
        why = _ask_for_pods(connection, run_id) if _waits(step) else ""
        print(_line(step, reasons.get(step.name, why)))
    if not steps:
        print("  no step has begun")
    if found.state == "FAILED":
        error, lines = _why(connection, run_id, steps, reasons)
        named = any(step.state == "failed" for step in steps)
        _print_lines(lines if named else [f"  {error}"])
    return steps


def await_run(
    connect: Callable[[], Connection], run_id: str, pause: float = POLL_SECONDS
) -> list[StepState]:
    """Prints the steps of a run as they go, until it ends; connects anew, for tokens expire.

    Raises:
        RunFailedError: it ended without success; the message is the failed step's own.
        UsageError: somebody deleted it meanwhile.
        AccessError: a token has expired, or a right was taken away; the run goes on.
        TryAgainError: the server stayed away; the run goes on.
        NoLongerWatchedError: interrupted from the keyboard; the run goes on.
    """
    again = f"the run goes on; dico runs {run_id} --wait watches it again"
    try:
        return _follow(connect, run_id, pause)
    except KeyboardInterrupt:
        raise NoLongerWatchedError(f"interrupted; {again}") from None
    except (AccessError, TryAgainError) as error:
        raise type(error)(f"{error}; {again}") from None


def _follow(connect: Callable[[], Connection], run_id: str, pause: float) -> list[StepState]:
    begun, num_failures, shown = time.monotonic(), 0, _Shown()
    while True:
        connection = connect()
        try:
            with kfp_client(connection, note_skew=False) as client:
                run = run_of_id(client, run_id)
            num_failures = 0
        except TryAgainError:
            num_failures += 1
            if num_failures > FAILURES_IN_A_ROW:
                raise
            time.sleep(pause)
            continue
        if run is None:
            raise UsageError(f"run {run_id}: is there no more; somebody deleted it")
        steps = _poll(connection, run)
        shown.update(connection, run_id, steps)
        if run.state in ENDED:
            break
        time.sleep(pause)
    took = format_seconds(time.monotonic() - begun)
    print(f"  {run.state.lower()} after {took}")
    if run.state != SUCCEEDED:
        error, lines = _why(connection, run_id, steps, _reasons(connection, run_id, steps))
        _print_lines(lines)
        raise RunFailedError(f"run {run_id}: {run.state.lower()}: {error}", error.exit_code)
    return steps


class _Shown:
    """What has been printed of each step."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}
        self._waits: set[str] = set()

    def update(self, connection: Connection, run_id: str, steps: Sequence[StepState]) -> None:
        """Prints each step that is in another state than before, or waits for long."""
        for step in steps:
            changed = self._states.get(step.name) != step.state
            self._states[step.name] = step.state
            if changed and step.state != "pending":
                print(_line(step, ""), flush=True)
            if _waits(step) and step.name not in self._waits:
                self._waits.add(step.name)
                reason = _reasons(connection, run_id, steps).get(step.name, "")
                print(_line(step, reason or _ask_for_pods(connection, run_id)), flush=True)


def _ask_for_pods(connection: Connection, run_id: str) -> str:
    where = f"-n {connection.namespace or HOME} -l pipeline/runid={run_id}"
    return f"Kubeflow does not say why; kubectl describe pods {where} does"


def _poll(connection: Connection, run: Any) -> list[StepState]:
    details = run.run_details.task_details if run.run_details else []
    return [_checked(connection, run.run_id, step) for step in steps_of(details or [])]


def _checked(connection: Connection, run_id: str, step: StepState) -> StepState:
    """A pending step that has a log is at work; see `steps_of`."""
    if not _waits(step) or not any(True for _ in log_of(connection, run_id, step)):
        return step
    return StepState(step.name, "running", step.started, step.ended, step.node_ids)


def _waits(step: StepState) -> bool:
    if step.state != "pending" or step.started is None:
        return False
    return (datetime.now(UTC) - step.started).total_seconds() >= SECONDS_PENDING


def _reasons(connection: Connection, run_id: str, steps: Sequence[StepState]) -> dict[str, str]:
    """What Kubernetes says of steps in trouble."""
    troubled = any(step.state == "failed" or _waits(step) for step in steps)
    return reasons_of(connection, run_id) if troubled or not steps else {}


def _line(step: StepState, reason: str) -> str:
    took = ""
    if step.started and step.state != "cached":
        took = format_seconds(((step.ended or datetime.now(UTC)) - step.started).total_seconds())
    told = f"{step.state} {took}".strip() if step.state != "done" else took
    return f"  {_MARKS[step.state]} {step.name:<24}{told}{f': {reason}' if reason else ''}"


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines:
        print(line)


def _why(
    connection: Connection, run_id: str, steps: Sequence[StepState], reasons: dict[str, str]
) -> tuple[RunFailedError, list[str]]:
    """Why a run failed, and the lines that show it."""
    failed = next((step for step in steps if step.state == "failed"), None)
    if failed is None:
        said = "; ".join(f"{name}: {text}" for name, text in reasons.items())
        look = f"no step of it says why; kubectl get workflow -l pipeline/runid={run_id} -o yaml"
        return RunFailedError(said or look), []
    end = read_end(list(log_of(connection, run_id, failed)))
    cluster = reasons.get(failed.name, "")
    message = end.reason or cluster or (end.lines or ["its pod left no log"])[-1]
    if not (end.reason or cluster or end.lines):
        message += (
            "; where it could not be made, its Workflow says why: "
            f"kubectl get workflow -l pipeline/runid={run_id} -o yaml"
        )
    head = [f"the last lines of {failed.name}:"] if end.lines else []
    lines = [*head, *(f"  | {line}" for line in end.lines)]
    return RunFailedError(f"{failed.name}: {message}", end.exit_code), lines
