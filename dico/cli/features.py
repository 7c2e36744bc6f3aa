"""``dico features``: image features by an evaluator's tower, each image once."""

from pathlib import Path
from typing import Annotated

import typer

from dico.cli.options import Manifest, Overrides, Preset


def features(
    manifest: Manifest,
    evaluator: Annotated[Path, typer.Option(help="Folder of the evaluator, with the tower.")],
    output: Annotated[Path, typer.Option(help="Folder that `dico train` takes as --features.")],
    preset: Preset = "toy",
    overrides: Overrides = "",
    store: Annotated[
        str, typer.Option(help="Folder or s3:// prefix that keeps the features.")
    ] = "runs/store",
) -> None:
    """Compute the features that training reads; images that the store has are passed over."""
    from dico.steps.resolve_config import resolve_config

    config = resolve_config(preset=preset, overrides=overrides)

    from dico.steps.extract_features import extract_features

    extract_features(
        manifest=str(manifest),
        evaluator=str(evaluator),
        config=config.features,
        store=store,
        output_features=str(output),
    )
    print(output)
