"""``dico models push``: a registered version on the Hugging Face Hub."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from dico.cli.options import DEFAULT_REGISTRY, Registry


def push(
    model: Annotated[
        str, typer.Argument(help="name, name@alias or name@3 in the registry, or a folder or URI.")
    ],
    repository: Annotated[str, typer.Argument(help="Repository on the Hub, such as acme/harbour.")],
    registry: Registry = DEFAULT_REGISTRY,
    licence: Annotated[
        str, typer.Option(help="Licence of the weights, such as cc-by-4.0; empty for other.")
    ] = "",
    private: Annotated[bool, typer.Option(help="Make the repository private.")] = False,
    refused: Annotated[
        bool, typer.Option("--refused", help="Push a version even if the gate refused it.")
    ] = False,
) -> None:
    """Push a version to the Hugging Face Hub.

    Its card has scores and captions of test images. HF_TOKEN is the token that may write there. The version lies in the folder version/ with its
    digests and its signature as they are, so that `dico serve COPY/version` checks and serves it.
    """
    from dico.errors import UsageError
    from dico.registry.hub_card import hub_card, is_promoted
    from dico.serving.source import find_source
    from dico.weights.hub import upload

    source = find_source(model, registry)
    if not (refused or is_promoted(Path(source.folder))):
        raise UsageError(
            f"{model}: the gate refused this version; --refused pushes it nevertheless"
        )
    with tempfile.TemporaryDirectory(prefix="dico-push-") as working:
        folder = Path(working)
        shutil.copytree(source.folder, folder / "version")
        card = hub_card(folder / "version", repository, licence)
        (folder / "README.md").write_text(card, encoding="utf-8")
        message = f"{source.name} version {source.version}"
        print(upload(repository, folder, message, private, "repository"))
