"""``dico rebuild``: trains a registered version again and compares the weights to the bit."""

from pathlib import Path
from typing import Annotated

import typer

from dico.cli.options import DEFAULT_REGISTRY, Registry
from dico.errors import DigestError


def rebuild(
    model: Annotated[
        str, typer.Argument(help="name, name@alias or name@3 in the registry, or a folder or URI.")
    ],
    work: Annotated[Path, typer.Option(help="Working folder; the same folder resumes.")],
    registry: Registry = DEFAULT_REGISTRY,
    dataset: Annotated[str, typer.Option(help="Where the annotations are, if they moved.")] = "",
    images: Annotated[str, typer.Option(help="Folder of the images, if annotations lack it.")] = "",
    any_code: Annotated[bool, typer.Option(help="Compare even if the code differs.")] = False,
) -> None:
    """Train a registered version again from its lineage; the weights must be the same."""
    from dico.serving.source import find_source

    source = find_source(model, registry)

    from dico.cli.rebuild_version import rebuild_version

    rebuilt = rebuild_version(str(source.folder), str(work), dataset, images, any_code)
    for name, registered in rebuilt.registered.items():
        found = rebuilt.rebuilt.get(name, "missing")
        print(f"{'same' if found == registered else 'DIFFERS'}  {name}  {registered}  {found}")
    if not rebuilt.same:
        raise DigestError(f"{source.name} version {source.version}: rebuilt to other weights")
