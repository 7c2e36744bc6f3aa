"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer


def local_file(text: str) -> Path:
    """The file that an option names; one in an object store is fetched."""
    from dico.storage.uris import kept_copy

    return kept_copy(text)


Registry = Annotated[
    str,
    typer.Option(
        envvar="DICO_REGISTRY",
        help="Folder, s3:// prefix, kubeflow+https://HOST?store=... or mlflow+URI?store=...",
    ),
]
DEFAULT_REGISTRY = "runs/registry"
Manifest = Annotated[Path, typer.Option(help="Manifest of the dataset, by `dico validate`.")]
Features = Annotated[Path, typer.Option(help="Folder written by `dico features`.")]
Preset = Annotated[
    str, typer.Option(help="Preset such as toy or photos, or a TOML file that extends one.")
]
Overrides = Annotated[
    str, typer.Option(help='Settings to change, such as "xe.num_steps=200 finetune.beta=0.1".')
]
Images = Annotated[
    str, typer.Option(help="Folder or prefix of the images; empty: beside the dataset.")
]
ImageColumn = Annotated[
    str, typer.Option(help="Column or key of the image, as image.path; empty: known names.")
]
Where = Annotated[
    str, typer.Option(help='Rows that count, by a column, as "language=en"; several with commas.')
]
CaptionColumn = Annotated[
    str, typer.Option(help="Column or key of the captions, several with commas.")
]
