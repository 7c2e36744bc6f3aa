"""Logs of the steps of a submitted run, live and kept, from the API server."""

from collections.abc import Iterator

from dico.errors import UsageError
from dico.process.exits import ERROR_PREFIX
from dico_pipelines.cluster.answers import SECONDS_TO_ANSWER, cause, get, refuse
from dico_pipelines.cluster.client import find_run, kfp_client
from dico_pipelines.cluster.connection import Connection, connection_from_environment
from dico_pipelines.cluster.steps import StepState, steps_of

LAST_LINES = 15


def show_logs(
    run_id: str,
    step: str = "",
    follow: bool = False,
    endpoint: str = "",
    namespace: str = "",
    token_file: str = "",
) -> None:
    """Prints the log of one step of a run, or of all, one after the other.

    Args:
        run_id: the run's id.
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
        details = find_run(client, run_id).run_details
    steps = steps_of(details.task_details or []) if details else []
    wanted = step.replace("_", "-")
    chosen = [one for one in steps if one.name == wanted] if step else steps
    if not chosen:
        known = ", ".join(one.name for one in steps) or "none yet"
        raise UsageError(f"run {run_id}: no step {step or 'has begun'}; there are {known}")
    for one in chosen:
        if not step:
            print(f"== {one.name} ({one.state})")
        for line in log_of(connection, run_id, one, follow):
            print(line, flush=follow)


def log_of(
    connection: Connection, run_id: str, step: StepState, follow: bool = False
) -> Iterator[str]:
    """Lines of all tries of a step; none where its pod left nothing."""
    for node_id in step.node_ids:
        yield from _lines(connection, run_id, node_id, follow)


def reason_and_end(lines: list[str]) -> tuple[str, list[str]]:
    """Why a step failed, by its own words, and the last lines of its log."""
    spoken = [line for line in lines if line.strip()]
    errors = [line for line in spoken if line.startswith(ERROR_PREFIX)]
    reason = errors[-1].removeprefix(ERROR_PREFIX) if errors else ""
    return reason, spoken[-LAST_LINES:]


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
