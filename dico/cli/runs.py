"""``dico runs`` and ``dico compare``: the runs of this machine and of a cluster."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dico.evaluation.runs import Run

from dico.cli.cluster import Endpoint, Namespace, TokenFile
from dico.cli.run import find_command
from dico.errors import UsageError
from dico.process.text_table import aligned


def runs(
    run: Annotated[
        str,
        typer.Argument(metavar="[RUN]", help="Run of this machine or of the cluster: its steps."),
    ] = "",
    folder: Annotated[
        Path, typer.Option("--runs", help="Folder of the runs of this machine.")
    ] = Path("runs"),
    num: Annotated[int, typer.Option("--num", min=1, max=200, help="Maximum number of runs.")] = 20,
    experiment: Annotated[
        str, typer.Option("--experiment", "-e", help="Only this experiment's cluster runs.")
    ] = "",
    wait: Annotated[
        bool, typer.Option(help="Wait for RUN of the cluster to end; exit with its failure.")
    ] = False,
    endpoint: Endpoint = "",
    namespace: Namespace = "",
    token_file: TokenFile = "",
) -> None:
    """List the latest runs of this machine and of a Kubeflow cluster, newest first.

    The cluster is asked where --endpoint or KFP_ENDPOINT names one. With the name of a run of this
    machine, or the id or the name of one of the cluster, show that run's steps, and why one failed.
    """
    from dico.evaluation.runs import RUN_FILE, read_run, read_runs

    if wait and not run:
        raise UsageError("--wait: name the run to wait for")
    if run and (folder / run / RUN_FILE).is_file():
        if wait:
            raise UsageError(f"--wait: {folder / run} is a run of this machine, not of a cluster")
        print("\n".join(_steps_of(read_run(folder / run), folder / run)))
        return
    asked = bool(endpoint or os.environ.get("KFP_ENDPOINT"))
    if run and not asked:
        raise UsageError(f"{folder / run}: no such run; one of a cluster needs KFP_ENDPOINT")
    if run:
        place = {"endpoint": endpoint, "namespace": namespace, "token_file": token_file}
        find_command("show-run")(run, **place, wait=wait)
        return
    if found := read_runs(folder)[:num]:
        print("\n".join(aligned([_HEADER, *map(_row, found)])))
    elif not asked:
        print(f"no runs in {folder} yet, and no cluster to ask: KFP_ENDPOINT is not set")
    if asked:
        find_command("runs")(
            num_runs=num,
            experiment=experiment,
            endpoint=endpoint,
            namespace=namespace,
            token_file=token_file,
        )


def compare(
    folders: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, such as runs/*.")
    ],
    system: Annotated[
        str, typer.Option(help="Whose scores: dico, xe, champion or human.")
    ] = "dico",
    metric: Annotated[
        list[str] | None, typer.Option(help="Only this metric, such as cider; may be repeated.")
    ] = None,
) -> None:
    """Compare runs: one column per method, the mean over its seeds, and 95% intervals.

    Runs that differ in nothing but their seed are one method. Of two methods the last column is the
    difference, paired by seed.
    """
    from dico.evaluation.runs import difference_of, methods_of, metrics_of, read_run, score_of

    found = [read_run(folder) for folder in folders]
    if lacking := [run.name for run in found if system not in run.metrics.get("systems", {})]:
        raise UsageError(f"{', '.join(lacking)}: no scores of {system}")
    methods = methods_of(found)
    keys = list(metrics_of(found, system))
    if unknown := [key for key in metric or [] if key not in keys]:
        raise UsageError(f"--metric: no {', '.join(unknown)}; there are {', '.join(keys)}")
    heads = [f"{label} ({len(own)} seed{'s' * (len(own) > 1)})" for label, own in methods.items()]
    first, *rest = methods.values()
    other = rest[0] if len(rest) == 1 else None
    rows = [["", *heads, *(["difference"] if other else [])]]
    for key in metric or keys:
        scores = [score_of(own, system, key) for own in methods.values()]
        if other:
            scores.append(difference_of(first, other, system, key))
        rows.append([key, *("" if score is None else str(score) for score in scores)])
    print("\n".join(aligned(rows)))


_HEADER = ("run", "status", "preset", "seed", "started (UTC)", "took", "overrides")
"""What may be long comes last."""


def _steps_of(run: "Run", folder: Path) -> list[str]:
    """Lines of a run of this machine: how it ended, its steps, and where to read on."""
    from dico.process.progress import format_seconds

    rows = [
        (f"  {step['step']}", str(step["status"]), format_seconds(step["seconds"]))
        for step in run.steps
    ]
    places = [folder / "report.html"]
    places += [
        folder / "logs" / f"{step['step'].replace('_', '-')}.log"
        for step in run.steps
        if step["status"] == "failed"
    ]
    took = format_seconds(run.seconds)
    found = [f"  {place}" for place in places if place.is_file()]
    return [f"{run.name}: {run.status}, {took}", *aligned(rows), *found]


def _row(run: "Run") -> tuple[str, ...]:
    from dico.process.progress import format_seconds

    parameters = run.parameters
    return (
        run.name,
        run.status,
        str(parameters.get("preset", "")),
        str(parameters.get("seed", "")),
        run.started[:16].replace("T", " "),
        format_seconds(run.seconds),
        str(parameters.get("overrides", "")),
    )
