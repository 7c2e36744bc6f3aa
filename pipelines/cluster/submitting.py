"""Submits a compiled pipeline to Kubeflow, and waits for it where asked to."""

from pathlib import Path

from dico_pipelines.cluster.answers import ui_of
from dico_pipelines.cluster.client import kfp_client, require_kfp
from dico_pipelines.cluster.connection import connection_from_environment
from dico_pipelines.cluster.parameters import check_pipeline_root, read_values, what_is_sent
from dico_pipelines.cluster.prechecks import check_before_sending
from dico_pipelines.cluster.watching import POLL_SECONDS, await_run
from dico_pipelines.local.run_folder import new_name


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
    poll_seconds: float = POLL_SECONDS,
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
        poll_seconds: pause between two polls while waiting.

    Raises:
        UsageError: a wrong argument, or what the run's pods need is missing; nothing has been sent.
        AccessError: a token or a right is missing.
        TryAgainError: the server cannot be reached.
        RunFailedError: the run was waited for and failed.
    """
    check_pipeline_root(pipeline_root)
    specification, values = read_values(pipeline, arguments)
    require_kfp()
    connection = connection_from_environment(endpoint, namespace, token_file)
    every = specification.defaults() | values
    check_before_sending(connection, every, service_account)
    with kfp_client(connection) as client, what_is_sent(pipeline, every) as path:
        run_id = client.create_run_from_pipeline_package(
            str(path),
            arguments=values,
            run_name=name or new_name(specification.name),
            experiment_name=experiment,
            namespace=connection.namespace or None,
            pipeline_root=pipeline_root or None,
            enable_caching=None if caching else False,
            service_account=service_account or None,
        ).run_id
    print(f"submitted: run {run_id}")
    print(f"  in the terminal: dico runs {run_id}")
    print(f"  in the UI: {ui_of(connection)}/#/runs/details/{run_id}")
    if wait:
        await_run(
            lambda: connection_from_environment(endpoint, namespace, token_file),
            run_id,
            poll_seconds,
        )
    return run_id
