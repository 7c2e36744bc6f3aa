"""Finds a run by what a user calls it: its id, or its name where one run alone has it."""

import json
from typing import Any

from dico.errors import UsageError
from dico_pipelines.cluster.connection import Connection


def find_run(client: Any, connection: Connection, named: str) -> Any:
    """The run of that id or name, as ``client`` gives it.

    Raises:
        UsageError: there is none, or several have that name.
    """
    if not named.strip():
        raise UsageError("name a run: its id, or its name; dico runs lists the latest")
    found = run_of_id(client, named)
    if found is not None:
        return found
    listed = client.list_runs(
        page_size=100,
        sort_by="created_at desc",
        filter=name_filter(named),
        namespace=connection.namespace or None,
    )
    ids = [run.run_id for run in listed.runs or []]
    if not ids:
        raise UsageError(f"run {named}: no such run; dico runs lists the latest")
    if len(ids) > 1:
        shown = ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")
        raise UsageError(
            f"run {named}: {len(ids)} runs have this name; give the id of one, latest first: {shown}"
        )
    return run_of_id(client, ids[0])


def run_of_id(client: Any, run_id: str) -> Any:
    """The run of that id; None where there is none."""
    import kfp_server_api

    try:
        return client.get_run(run_id)
    except kfp_server_api.ApiException as error:
        if error.status != 404:
            raise
        return None


def state_of(run: Any) -> str:
    """The state of a run in words, and whether it was archived."""
    state = (run.state or "PENDING").lower()
    return f"{state}, archived" if run.storage_state == "ARCHIVED" else state


def name_filter(name: str) -> str:
    """The API's filter for one display name."""
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})
