"""``dico caption``: captions of images by a registered model, without loading a trainer."""

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dico.cli.options import DEFAULT_REGISTRY, Registry
from dico.errors import DataError, UsageError

if TYPE_CHECKING:
    from dico.decoding import DecodingConfig
    from dico.registry import Version


def caption(
    images: Annotated[
        list[Path] | None, typer.Argument(help="Image files.", show_default=False)
    ] = None,
    model: Annotated[
        str, typer.Option(help="name, name@3 or name@alias; the newest champion if left out.")
    ] = "",
    registry: Registry = DEFAULT_REGISTRY,
    num_captions: Annotated[
        int, typer.Option(min=1, help="Captions per image, the likeliest first.")
    ] = 1,
    num_beams: Annotated[
        int, typer.Option(min=0, help="Width of the beam search; 0 for the version's own.")
    ] = 0,
    manifest: Annotated[
        Path | None, typer.Option(help="Caption a split of this manifest instead.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="With --manifest: train, validation or test.")
    ] = "test",
    captioner: Annotated[
        Path | None, typer.Option(help="With --manifest: a folder that `dico train` wrote.")
    ] = None,
    features: Annotated[
        Path | None, typer.Option(help="With --manifest: written by `dico features`.")
    ] = None,
    output: Annotated[Path, typer.Option(help="With --manifest: captions, JSON lines.")] = Path(
        "captions.jsonl"
    ),
) -> None:
    """Caption images with a registered model, by default the champion; or a dataset's split."""
    if manifest is not None:
        _caption_split(manifest, split, captioner, features, output)
        return
    from dico.registry import cache_folder, open_registry
    from dico.registry.find import find_version

    images = images or []
    if not images:
        raise UsageError("caption: name image files, or --manifest, --captioner and --features")
    missing = next((path for path in images if not path.is_file()), None)
    if missing:
        raise DataError(_not_an_image(missing))
    opened = open_registry(registry)
    chosen = find_version(opened, model)
    if known := trained_on(chosen):
        print(f"{chosen.name} version {chosen.number}: trained on {known}", file=sys.stderr)
    folder = opened.fetch(chosen, cache_folder())
    for path, captions in zip(
        images, _captions(folder, images, num_captions, num_beams), strict=True
    ):
        for text in captions:
            print(f"{path}\t{text}" if len(images) * num_captions > 1 else text)


def _not_an_image(path: Path) -> str:
    whole = "or caption all of it by pipelines/caption.yaml"
    if path.is_dir():
        return f"{path}: a folder; name the images in it, {whole}"
    scheme, colon, rest = str(path).partition(":/")
    if colon and scheme in ("http", "https", "s3"):  # a path has lost one of the slashes
        return f"{scheme}://{rest}: images are files here; fetch it first, {whole}"
    return f"{path}: no such image"


def trained_on(version: "Version") -> str:
    """What a version was trained on, by its lineage, and of the toy dataset what it knows."""
    from dico.data.toy.world import is_toy_dataset

    dataset = str(version.metadata.get("dataset", ""))
    return "the toy dataset: it knows coloured shapes only" if is_toy_dataset(dataset) else dataset


def _caption_split(
    manifest: Path, split: str, captioner: Path | None, features: Path | None, output: Path
) -> None:
    """Captions of a split by a captioner's folder, by the search that it was trained with."""
    if captioner is None:
        raise UsageError("--captioner: give the folder of a captioner that `dico train` wrote")
    training = json.loads((captioner / "training.json").read_text(encoding="utf-8"))

    from dico.steps.generate_captions import generate_captions

    generate_captions(
        str(manifest),
        str(features or ""),
        str(captioner),
        split,
        json.dumps(training.get("decoding", {})),
        str(output),
    )
    print(output)


def _captions(
    folder: Path, images: list[Path], num_captions: int, num_beams: int
) -> list[list[str]]:
    import torch

    from dico.images.load import load_image
    from dico.policy.captioning import caption_inputs, policy_inputs
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
        for path in images:
            seen = policy_inputs(policy, tower, [load_image(str(path))])
            (found,) = caption_inputs(policy, seen, config, num_captions)
            captions.append([caption.text for caption in found])
    return captions


def _with_beams(decoding: "DecodingConfig", num_beams: int) -> "DecodingConfig":
    """The search with other beams, in as many of its groups as can be made of them evenly."""
    num_groups = math.gcd(decoding.num_groups, num_beams)
    return dataclasses.replace(decoding, num_beams=num_beams, num_groups=num_groups)
