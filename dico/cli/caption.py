"""``dico caption``: captions of pictures by a registered model, without loading a trainer."""

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dico.errors import DataError, UsageError

if TYPE_CHECKING:
    from dico.decoding import DecodingConfig
    from dico.registry import Registry, Version

REGISTRY_VARIABLE = "DICO_REGISTRY"


def caption(
    pictures: Annotated[list[Path], typer.Argument(help="Picture files.")],
    model: Annotated[
        str, typer.Option(help="Registered model; may be left out where there is one.")
    ] = "",
    version: Annotated[
        int, typer.Option(min=0, help="Number of the version; 0 for the champion.")
    ] = 0,
    registry: Annotated[
        str,
        typer.Option(envvar=REGISTRY_VARIABLE, help="Folder or s3:// prefix of the registry."),
    ] = "runs/registry",
    num_captions: Annotated[
        int, typer.Option(min=1, help="Captions per picture, the likeliest first.")
    ] = 1,
    num_beams: Annotated[
        int, typer.Option(min=0, help="Width of the beam search; 0 for the version's own.")
    ] = 0,
) -> None:
    """Caption pictures with a registered model, by default the champion."""
    from dico.registry import cache_folder, open_registry

    missing = next((path for path in pictures if not path.is_file()), None)
    if missing:
        raise DataError(f"{missing}: no such picture")
    opened = open_registry(registry)
    chosen = choose_version(opened, model, version)
    folder = opened.fetch(chosen, cache_folder())
    for path, captions in zip(
        pictures, _captions(folder, pictures, num_captions, num_beams), strict=True
    ):
        for text in captions:
            print(f"{path}\t{text}" if len(pictures) * num_captions > 1 else text)


def choose_version(registry: "Registry", model: str, number: int) -> "Version":
    """The version that was asked for: a number, or the champion.

    Raises:
        UsageError: nothing is registered, or the model is not named where there are several.
        DataError: there is no such version.
    """
    names = registry.names()
    if not names:
        raise UsageError(f"{registry.uri}: no registered model; train one by `dico run`")
    if model and model not in names:
        raise UsageError(f"--model: no model {model!r}; registered are {', '.join(names)}")
    if not model and len(names) > 1:
        raise UsageError(f"--model: choose one of {', '.join(names)}")
    name = model or names[0]
    if number:
        return registry.get(name, number)
    champion = registry.champion(name)
    if champion is None:
        newest = registry.versions(name)[-1].number
        raise UsageError(f"{name}: no version was good enough to be champion; --version {newest}")
    return champion


def _captions(
    folder: Path, pictures: list[Path], num_captions: int, num_beams: int
) -> list[list[str]]:
    import torch

    from dico.images.load import load_image
    from dico.policy.captioning import look
    from dico.process.device import computing_device
    from dico.registry.bundle import load_version

    policy, tower, decoding = load_version(folder, computing_device())
    config = _with_beams(decoding, num_beams) if num_beams else decoding
    if num_captions > config.num_beams:
        raise UsageError(
            f"--num-captions: at most the number of beams, {config.num_beams}, got {num_captions}; "
            "raise --num-beams"
        )
    captions = []
    with torch.inference_mode():
        for path in pictures:
            seen = look(policy, tower, [load_image(str(path))])
            found = policy.search(policy.encode(seen), config)
            captions.append(policy.tokenizer.decode_batch(found.tokens[0, :num_captions]))
    return captions


def _with_beams(decoding: "DecodingConfig", num_beams: int) -> "DecodingConfig":
    """The search with other beams, in as many of its groups as can be made of them evenly."""
    num_groups = math.gcd(decoding.num_groups, num_beams)
    return dataclasses.replace(decoding, num_beams=num_beams, num_groups=num_groups)
