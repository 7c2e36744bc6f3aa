"""Logs of the steps of a submitted run, live and kept, from the API server."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from dico.errors import UsageError
from dico.process.exits import ERROR_PREFIX
from dico_pipelines.cluster.answers import SECONDS_TO_ANSWER, get, refuse
from dico_pipelines.cluster.client import kfp_client
from dico_pipelines.cluster.connection import Connection, connection_from_environment
from dico_pipelines.cluster.finding import find_run
from dico_pipelines.cluster.steps import StepState, steps_of
from dico_pipelines.cluster.unreachable import cause

LAST_LINES = 15
_LAUNCHER_ENDS = re.compile(r"failed to execute component: exit status (\d+)$")
"""Kubeflow's launcher ends with 1 whatever its program's code was, which only its log tells."""

_WITHOUT_LOG = {
    "pending": "its pod has not begun; dico runs RUN says what it waits for",
    "cached": "it was taken from the cache, and the run that computed it has its log",
}
_GONE = (
    "it printed nothing, or its pod is gone and the server kept nothing of it; in the UI it may be "
    "among the step's output artifacts, as executor-logs"
)


@dataclass(frozen=True, slots=True)
class End:
    """What the log of a step that failed ends in."""

    reason: str
    """Its own words; empty where it has none."""
    lines: list[str]
    """The last lines."""
    exit_code: int | None
    """The step's, where the launcher told it."""


def show_logs(
    run: str,
    step: str = "",
    follow: bool = False,
    endpoint: str = "",
    namespace: str = "",
    token_file: str = "",
) -> None:
    """Prints the log of one step of a run, or of all, one after the other.

    Args:
        run: id of the run, or its name where no other has it.
        step: name of a step, such as train-evaluator; empty for all.
        follow: whether to go on printing while the step is at work.
        endpoint: address of Kubeflow Pipelines.
        namespace: profile to work in.
        token_file: file with a bearer token.

    Raises:
        UsageError: there is no such run or step.
        AccessError: a token or a right is missing.
        TryAgainError: the server cannot be reached.
    """
    connection = connection_from_environment(endpoint, namespace, token_file)
    with kfp_client(connection) as client:
        found = find_run(client, connection, run)
    details = found.run_details
    steps = steps_of(details.task_details or []) if details else []
    for one in _chosen(run, steps, step):
        if not step:
            print(f"== {one.name} ({one.state})")
        num_lines = 0
        for line in log_of(connection, found.run_id, one, follow):
            print(line, flush=follow)
            num_lines += 1
        if not num_lines:
            print(f"note: {one.name} has no log: {_WITHOUT_LOG.get(one.state, _GONE)}")


def _chosen(run: str, steps: list[StepState], step: str) -> list[StepState]:
    """The step of that name, or all where none is named."""
    wanted = step.replace("_", "-")
    if chosen := [one for one in steps if one.name == wanted or not step]:
        return chosen
    if not steps:
        raise UsageError(
            f"run {run}: no step has begun yet; dico runs {run} says what it waits for"
        )
    names = [one.name for one in steps]
    close = difflib.get_close_matches(wanted, names, n=1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    raise UsageError(f"run {run}: no step {step}{meant}; begun have {', '.join(names)}")


def log_of(
    connection: Connection, run_id: str, step: StepState, follow: bool = False
) -> Iterator[str]:
    """Lines of all tries of a step; none where its pod left nothing."""
    for node_id in step.node_ids:
        yield from _lines(connection, run_id, node_id, follow)


def read_end(lines: list[str]) -> End:
    """What the log of a step that failed ends in."""
    spoken = [line for line in lines if line.strip()]
    errors = [line for line in spoken if line.startswith(ERROR_PREFIX)]
    reason = errors[-1].removeprefix(ERROR_PREFIX) if errors else ""
    codes = [int(match[1]) for match in map(_LAUNCHER_ENDS.search, spoken) if match]
    return End(reason, spoken[-LAST_LINES:], codes[-1] if codes else None)


def _lines(connection: Connection, run_id: str, node_id: str, follow: bool) -> Iterator[str]:
    """Lines of one pod's log; none where the server has none."""
    try:
        answer = get(
            connection,
            f"/apis/v1alpha1/runs/{run_id}/nodes/{node_id}/log",
            params={"follow": str(follow).lower()},
            timeout=(SECONDS_TO_ANSWER, None if follow else 6 * SECONDS_TO_ANSWER),
            stream=True,
        )
        if answer.status_code in (401, 403):
            refuse(answer.status_code, answer.text, connection)
        if answer.status_code < 400:
            answer.encoding = "utf-8"
            for line in answer.iter_lines(decode_unicode=True):
                yield str(line)
    except OSError as error:  # requests raises no other kind; a pod that is gone has no log
        if follow:
            yield f"note: the connection to the log broke ({cause(error)}); ask again for the rest"
