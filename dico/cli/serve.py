"""``dico serve``: captions over HTTP by a registered model."""

from typing import Annotated

import typer

from dico.cli.options import DEFAULT_REGISTRY, Registry


def serve(
    model: Annotated[
        str,
        typer.Argument(
            envvar="DICO_MODEL",
            help="name, name@alias or name@3 in the registry, or a version's folder or URI; "
            "optional if the registry has one model.",
        ),
    ] = "",
    registry: Registry = DEFAULT_REGISTRY,
    name: Annotated[str, typer.Option(help="Name for a model from a folder.")] = "",
    host: Annotated[
        str, typer.Option(envvar="DICO_HOST", help="Address to listen on; 0.0.0.0 for all.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for a free one.")] = 8080,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    settings: Annotated[
        str, typer.Option(help='Limits to change, such as "max_batch=32 max_wait_ms=2".')
    ] = "",
) -> None:
    """Caption images over HTTP with a registered model, by default the champion.

    A signature is asked for where DICO_VERIFY_KEY names the trusted public keys.
    """
    from dico.serving.config import read_settings
    from dico.serving.source import find_source

    config = read_settings(settings)
    source = find_source(model, registry, name)

    from dico.serving.model import ServedModel
    from dico.serving.server import serve as run

    run(ServedModel(source, device), config, host, port)
