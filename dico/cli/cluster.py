"""``dico submit`` and ``dico schedule``: work for a Kubeflow cluster.

The library knows nothing of kfp: what talks to the cluster is found under the entry-point group
``dico.commands``.
"""

from pathlib import Path
from typing import Annotated

import typer

from dico.cli.run import find_command

Pipeline = Annotated[Path, typer.Argument(help="Compiled pipeline, such as pipelines/dico.yaml.")]
Parameters = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Parameters of the pipeline."),
]
Experiment = Annotated[
    str, typer.Option("--experiment", "-e", help="Experiment to put the run in.")
]
Endpoint = Annotated[
    str, typer.Option(help="Address of Kubeflow Pipelines; KFP_ENDPOINT by default.")
]
Namespace = Annotated[
    str, typer.Option("--namespace", "-n", help="Namespace (profile); KFP_NAMESPACE by default.")
]
TokenFile = Annotated[
    str, typer.Option(help="File with a token; KFP_TOKEN_FILE or KFP_EXISTING_TOKEN by default.")
]
ServiceAccount = Annotated[
    str, typer.Option(help="Service account of the pods; empty for the server's default.")
]
PipelineRoot = Annotated[
    str, typer.Option(help="Pipeline root, for artifacts; empty for the server's default.")
]


def submit(
    pipeline: Pipeline,
    parameters: Parameters = None,
    experiment: Experiment = "dico",
    name: Annotated[str, typer.Option(help="Name of the run; empty: made from the time.")] = "",
    endpoint: Endpoint = "",
    namespace: Namespace = "",
    token_file: TokenFile = "",
    service_account: ServiceAccount = "",
    pipeline_root: PipelineRoot = "",
    cache: Annotated[bool, typer.Option(help="Reuse cached results of steps.")] = True,
    wait: Annotated[
        bool, typer.Option(help="Wait for the run to end; exit with its failure.")
    ] = False,
) -> None:
    """Submit a compiled pipeline to a Kubeflow cluster.

    For example: dico submit pipelines/dico.yaml preset=toy store=s3://bucket/dico
    """
    find_command("submit")(
        pipeline,
        parameters or [],
        experiment=experiment,
        name=name,
        endpoint=endpoint,
        namespace=namespace,
        token_file=token_file,
        service_account=service_account,
        pipeline_root=pipeline_root,
        caching=cache,
        wait=wait,
    )


def schedule(
    pipeline: Pipeline,
    parameters: Parameters = None,
    name: Annotated[
        str, typer.Option(help="Name of the schedule; one of this name is replaced.")
    ] = "",
    cron: Annotated[
        str, typer.Option(help='Six fields, UTC: "0 0 3 * * 0" is Sundays at three.')
    ] = "0 0 3 * * 0",
    experiment: Experiment = "dico",
    endpoint: Endpoint = "",
    namespace: Namespace = "",
    token_file: TokenFile = "",
    service_account: ServiceAccount = "",
    pipeline_root: PipelineRoot = "",
    enabled: Annotated[bool, typer.Option(help="Enable the schedule.")] = True,
) -> None:
    """Run a compiled pipeline again and again; safe to repeat, one schedule of a name exists.

    For example: dico schedule pipelines/retrain.yaml --name weekly --cron "0 0 3 * * 0"
    """
    find_command("schedule")(
        pipeline,
        parameters or [],
        name=name or pipeline.stem,
        cron=cron,
        experiment=experiment,
        endpoint=endpoint,
        namespace=namespace,
        token_file=token_file,
        service_account=service_account,
        pipeline_root=pipeline_root,
        enabled=enabled,
    )


def logs(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id or name of a run.")],
    step: Annotated[
        str, typer.Argument(metavar="[STEP]", help="Step, such as train-evaluator; all by default.")
    ] = "",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow the log while the step runs.")
    ] = False,
    endpoint: Endpoint = "",
    namespace: Namespace = "",
    token_file: TokenFile = "",
) -> None:
    """Print the logs of a run's steps on a Kubeflow cluster, live or kept."""
    find_command("logs")(
        run, step, follow, endpoint=endpoint, namespace=namespace, token_file=token_file
    )
