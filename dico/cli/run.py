"""``dico run``: a compiled pipeline on this machine.

The library knows nothing of kfp: what runs pipelines registers itself under the entry-point group
``dico.commands``.
"""

import os
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from dico.errors import UsageError


def run(
    pipeline: Annotated[
        Path, typer.Argument(help="Compiled pipeline, such as pipelines/dico.yaml.")
    ],
    parameters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Parameters of the pipeline."),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder of runs, cache, store and registry.")] = Path(
        "runs"
    ),
    name: Annotated[
        str, typer.Option(help="Name of the run's folder; empty: made from the time.")
    ] = "",
    containers: Annotated[
        bool, typer.Option(help="Run every step in its own container of the pipeline's image.")
    ] = False,
    track: Annotated[
        list[str] | None,
        typer.Option(
            help="tensorboard, mlflow or wandb, with a folder, URI or project after a colon."
        ),
    ] = None,
) -> None:
    """Run a compiled pipeline on this machine, without a cluster.

    For example: dico run pipelines/dico.yaml preset=toy seed=2 overrides="finetune.beta=0.1"
    """
    choose_trackers(track or [])
    find_command("run")(pipeline, parameters or [], runs, name, containers)


def choose_trackers(track: list[str]) -> None:
    """Puts the trackers of this command into the environment, and checks all that are there.

    Raises:
        UsageError: an unknown tracker, or its client is not installed.
    """
    from dico.tracking.trackers import TRACK_VARIABLE, check_trackers

    if track:
        os.environ[TRACK_VARIABLE] = " ".join(track)
    check_trackers(os.environ.get(TRACK_VARIABLE, ""))


def find_command(name: str) -> Any:
    """What does the work of a verb that needs kfp.

    Raises:
        UsageError: nothing that does it is installed.
    """
    found = next(iter(entry_points(group="dico.commands", name=name)), None)
    if found is None:
        raise UsageError(
            f"dico {name} needs kfp; install it: pip install 'dico-captioner[pipelines]'"
        )
    return found.load()
