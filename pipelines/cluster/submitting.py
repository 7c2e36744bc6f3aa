"""Submits a compiled pipeline to Kubeflow, and waits for it where asked to."""

import time
from collections.abc import Callable
from pathlib import Path

from dico.errors import DicoError, TryAgainError
from dico.process.progress import format_seconds
from dico_pipelines.cluster.client import asking, require_kfp
from dico_pipelines.cluster.connection import Connection, connection_from_environment
from dico_pipelines.cluster.parameters import read_values
from dico_pipelines.local.run_folder import new_name

SECONDS_BETWEEN_LOOKS = 10.0
FAILURES_IN_A_ROW = 30
"""Looks that may fail, one after the other, while a run is waited for."""

SUCCEEDED, ENDED = "SUCCEEDED", ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


class RunFailedError(DicoError):
    """A submitted run ended without success."""


def submit(
    pipeline: Path,
    arguments: list[str],
    experiment: str = "dico",
    name: str = "",
    endpoint: str = "",
    namespace: str = "",
    token_file: str = "",
    service_account: str = "",
    pipeline_root: str = "",
    caching: bool = True,
    wait: bool = False,
    seconds_between_looks: float = SECONDS_BETWEEN_LOOKS,
) -> str:
    """Submits ``pipeline`` and returns the run's id.

    Args:
        pipeline: compiled YAML.
        arguments: ``key=value`` texts.
        experiment: experiment that the run is filed under; made where it is not there.
        name: name of the run; from the time by default.
        endpoint: address of Kubeflow Pipelines.
        namespace: profile to run in.
        token_file: file with a bearer token.
        service_account: account of the run's pods; empty for the server's default.
        pipeline_root: where artifacts go; empty for the server's default.
        caching: whether finished steps may be taken from the cache.
        wait: whether to wait for the end.
        seconds_between_looks: pause between two looks while waiting.

    Raises:
        UsageError: a wrong argument; nothing has been sent.
        AccessError: a token or a right is missing.
        TryAgainError: the server cannot be reached.
        RunFailedError: the run was waited for and failed.
    """
    specification, values = read_values(pipeline, arguments)
    require_kfp()
    connection = connection_from_environment(endpoint, namespace, token_file)
    with asking(connection) as client:
        run_id = client.create_run_from_pipeline_package(
            str(pipeline),
            arguments=values,
            run_name=name or new_name(specification.name),
            experiment_name=experiment,
            namespace=connection.namespace or None,
            pipeline_root=pipeline_root or None,
            enable_caching=None if caching else False,
            service_account=service_account or None,
        ).run_id
    print(f"submitted: run {run_id}")
    print(f"  watch it at {connection.endpoint}/#/runs/details/{run_id}, or by dico runs")
    if wait:
        state, seconds = _await(
            lambda: connection_from_environment(endpoint, namespace, token_file),
            run_id,
            seconds_between_looks,
        )
        print(f"  {state.lower()} after {format_seconds(seconds)}")
        if state != SUCCEEDED:
            raise RunFailedError(f"run {run_id}: {state.lower()}; its steps' logs are in the UI")
    return run_id


def _await(connect: Callable[[], Connection], run_id: str, pause: float) -> tuple[str, float]:
    """Looks until the run has ended; connects anew each time, for tokens expire."""
    start, num_failures = time.monotonic(), 0
    while True:
        try:
            with asking(connect(), note_skew=False) as client:
                state = client.get_run(run_id).state or "PENDING"
            num_failures = 0
        except TryAgainError:
            num_failures += 1
            if num_failures > FAILURES_IN_A_ROW:
                raise
            state = ""
        if state in ENDED:
            return state, time.monotonic() - start
        time.sleep(pause)
