"""``dico keys``: keys for signing registered versions, and signatures of folders by hand."""

from pathlib import Path
from typing import Annotated

import typer

from dico.registry.signing import PRIVATE_KEY_VARIABLE, PUBLIC_KEY_VARIABLE

app = typer.Typer(no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="Folder of a registered version.")]


@app.command()
def new(
    private: Annotated[Path, typer.Argument(help="PEM file to write: the key that signs.")],
    public: Annotated[Path, typer.Argument(help="PEM file to write: the key that verifies.")],
) -> None:
    """Make a pair of Ed25519 keys."""
    from dico.registry.signing import new_key

    print(f"key {new_key(private, public)}: {private} signs, {public} verifies")


@app.command()
def sign(
    folder: Folder,
    key: Annotated[str, typer.Option(envvar=PRIVATE_KEY_VARIABLE, help="Private key, PEM file.")],
) -> None:
    """Sign a folder."""
    from dico.registry.signing import sign as sign_folder

    print(sign_folder(folder, key))


@app.command()
def verify(
    folder: Folder,
    key: Annotated[str, typer.Option(envvar=PUBLIC_KEY_VARIABLE, help="Public keys, PEM file.")],
) -> None:
    """Check every byte of a folder against its signature."""
    from dico.registry.signing import verify as verify_folder

    print(f"{folder}: as it was signed by key {verify_folder(folder, key)}")
