"""Schedules a compiled pipeline: a recurring run that exists once by its name.

Kubeflow cannot change a recurring run, so one of the same name is replaced. The new one is made
before the old ones go: what fails on the way leaves the schedule that was there.
"""

from datetime import UTC, datetime
from pathlib import Path

from dico.errors import DicoError
from dico_pipelines.cluster.client import kfp_client, require_kfp
from dico_pipelines.cluster.connection import Connection, connection_from_environment
from dico_pipelines.cluster.cron import next_time
from dico_pipelines.cluster.finding import name_filter
from dico_pipelines.cluster.parameters import check_pipeline_root, read_values, what_is_sent
from dico_pipelines.cluster.prechecks import check_before_sending


def schedule(
    pipeline: Path,
    arguments: list[str],
    name: str,
    cron: str,
    experiment: str = "dico",
    endpoint: str = "",
    namespace: str = "",
    token_file: str = "",
    service_account: str = "",
    pipeline_root: str = "",
    enabled: bool = True,
) -> str:
    """Makes the recurring run ``name``, in place of any other of that name; returns its id.

    Of that name there is one in a namespace, whatever experiment its runs are filed under.

    One run works at a time, and runs that were missed are not caught up with.

    Args:
        pipeline: compiled YAML.
        arguments: ``key=value`` texts.
        name: name of the recurring run.
        cron: six fields, UTC, such as ``0 0 3 * * 0``.
        experiment: experiment that its runs are filed under.
        endpoint: address of Kubeflow Pipelines.
        namespace: profile to run in.
        token_file: file with a bearer token.
        service_account: account of the runs' pods; empty for the server's default.
        pipeline_root: where artifacts go; empty for the server's default.
        enabled: whether it fires.

    Raises:
        ConfigError: the expression is not one; nothing has been sent.
        UsageError: a wrong argument, or what the runs' pods need is missing; nothing has been sent.
        AccessError: a token or a right is missing.
        TryAgainError: the server cannot be reached.
    """
    first = next_time(cron, datetime.now(UTC))
    check_pipeline_root(pipeline_root)
    specification, values = read_values(pipeline, arguments)
    require_kfp()
    connection = connection_from_environment(endpoint, namespace, token_file)
    every = specification.defaults() | values
    check_before_sending(connection, every, service_account)
    with kfp_client(connection) as client, what_is_sent(pipeline, every) as path:
        experiment_id = client.create_experiment(
            experiment, namespace=connection.namespace or None
        ).experiment_id
        before = client.list_recurring_runs(
            page_size=100, namespace=connection.namespace or None, filter=name_filter(name)
        ).recurring_runs
        made = client.create_recurring_run(
            experiment_id=experiment_id,
            job_name=name,
            description=f"made by dico schedule from {pipeline.name}",
            cron_expression=cron,
            max_concurrency="1",  # the API takes 64-bit numbers as texts
            no_catchup=True,
            params=values,
            pipeline_package_path=str(path),
            enabled=enabled,
            pipeline_root=pipeline_root or None,
            service_account=service_account or None,
        ).recurring_run_id
    print(f"scheduled: {name} ({made})")
    print(f"  next run: {first:%A %Y-%m-%d %H:%M:%S} UTC" if enabled else "  disabled")
    if before:
        _remove(connection, name, [old.recurring_run_id for old in before])
        print(f"  in place of {len(before)} of this name")
    return made


def _remove(connection: Connection, name: str, ids: list[str]) -> None:
    """Deletes the schedules that a new one of the same name stands for."""
    try:
        with kfp_client(connection, note_skew=False) as client:
            for recurring_run_id in ids:
                client.delete_recurring_run(recurring_run_id)
    except DicoError as error:
        raise type(error)(
            f"{error}; the schedule that {name} replaces is still there, and both fire until the "
            "same command removes it, or the UI"
        ) from None
