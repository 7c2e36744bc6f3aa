"""Lists the latest runs, one aligned line each."""

from datetime import UTC, datetime
from typing import Any

from dico.errors import UsageError
from dico.process.progress import format_seconds
from dico.process.text_table import aligned
from dico_pipelines.cluster.client import kfp_client, require_kfp
from dico_pipelines.cluster.connection import connection_from_environment
from dico_pipelines.cluster.finding import state_of

HEADER = ("run", "name", "state", "started (UTC)", "took")


def list_runs(
    num_runs: int = 20,
    experiment: str = "",
    endpoint: str = "",
    namespace: str = "",
    token_file: str = "",
    now: datetime | None = None,
) -> list[tuple[str, ...]]:
    """Prints the latest ``num_runs`` runs, newest first, and returns the lines' fields.

    Raises:
        UsageError: no such experiment.
        AccessError: a token or a right is missing.
        TryAgainError: the server cannot be reached.
    """
    require_kfp()
    connection = connection_from_environment(endpoint, namespace, token_file)
    with kfp_client(connection) as client:
        experiment_id = _experiment_id(client, experiment, connection.namespace)
        runs = client.list_runs(
            page_size=num_runs,
            sort_by="created_at desc",
            experiment_id=experiment_id,
            namespace=connection.namespace or None,
        ).runs
    rows = [_row(run, now or datetime.now(UTC)) for run in runs or []]
    print("\n".join(aligned([HEADER, *rows])) if rows else "no runs yet")
    return rows


def _experiment_id(client: Any, name: str, namespace: str) -> str | None:
    if not name:
        return None
    try:
        return client.get_experiment(
            experiment_name=name, namespace=namespace or None
        ).experiment_id
    except ValueError:
        raise UsageError(f"experiment {name}: no such experiment") from None


def _row(run: Any, now: datetime) -> tuple[str, ...]:
    started = run.created_at
    unknown = started is None or started.year < 2000
    ended = run.finished_at if run.finished_at and run.finished_at.year > 2000 else now
    return (
        run.run_id or "",
        " ".join((run.display_name or "").split()),
        state_of(run),
        "" if unknown else f"{started:%Y-%m-%d %H:%M}",
        "" if unknown else format_seconds((ended - started).total_seconds()),
    )
