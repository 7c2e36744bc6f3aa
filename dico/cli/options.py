"""Options that several commands share."""

from typing import Annotated

import typer

Registry = Annotated[
    str,
    typer.Option(
        envvar="DICO_REGISTRY",
        help="Folder, s3:// prefix, kubeflow+https://HOST?store=... or mlflow+URI?store=...",
    ),
]
DEFAULT_REGISTRY = "runs/registry"
