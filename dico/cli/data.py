"""``dico data``: datasets and manifests converted, sharded, split and counted."""

from collections import Counter
from typing import Annotated

import typer

from dico.cli.options import CaptionColumn, ImageColumn, Images, Where

app = typer.Typer(no_args_is_help=True, help="Convert, shard, split and count datasets.")

Dataset = Annotated[str, typer.Argument(help="Manifest, or dataset in any format.")]
Format = Annotated[
    str, typer.Option("--format", help="The dataset's format; empty: detected from content.")
]


@app.command()
def convert(
    dataset: Dataset,
    output: Annotated[str, typer.Argument(help="File to write.")],
    to: Annotated[str, typer.Option(help="jsonl, csv, karpathy or coco.")] = "jsonl",
    images: Images = "",
    format_name: Format = "",
    image_column: ImageColumn = "",
    caption_column: CaptionColumn = "",
    where: Where = "",
) -> None:
    """Write a dataset in another format; images stay where they are."""
    from dico.data.convert import convert as run
    from dico.data.convert import read_records
    from dico.data.formats import Columns

    left_out: Counter[str] = Counter()
    columns = Columns.named(image_column, caption_column, where)
    count = run(read_records(dataset, images, format_name, left_out, columns), output, to)
    print(f"{output}: {count} images as {to}")
    _say(left_out)


@app.command()
def shard(
    manifest: Annotated[str, typer.Argument(help="Manifest written by dico validate.")],
    output: Annotated[str, typer.Argument(help="Folder or s3:// prefix for the tars.")],
    form: Annotated[
        str, typer.Option(help="json: one sample per image. txt: one sample per caption.")
    ] = "json",
    shard_megabytes: Annotated[int, typer.Option(min=1, help="Size of a tar, megabytes.")] = 1000,
) -> None:
    """Write WebDataset tars of images and captions, by split."""
    from dico.data.shards import write_shards

    for name in write_shards(manifest, output, form, shard_megabytes * 1_000_000):
        print(f"{output.rstrip('/')}/{name}")


@app.command()
def split(
    manifest: Annotated[str, typer.Argument(help="Manifest written by dico validate.")],
    output: Annotated[str, typer.Argument(help="Manifest to write.")],
    validation: Annotated[float, typer.Option(min=0, max=1, help="Share for validation.")] = 0.1,
    test: Annotated[float, typer.Option(min=0, max=1, help="Share for test.")] = 0.1,
) -> None:
    """Split a manifest anew, by image content: repeatable."""
    from dico.data.convert import split_manifest
    from dico.errors import UsageError

    if validation + test >= 1:
        raise UsageError(f"--validation {validation} + --test {test}: must be below 1")
    for name, count in sorted(split_manifest(manifest, output, validation, test).items()):
        print(f"{name:<12}{count}")


@app.command()
def stats(
    dataset: Dataset,
    images: Images = "",
    format_name: Format = "",
    image_column: ImageColumn = "",
    caption_column: CaptionColumn = "",
    where: Where = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count images, captions and words."""
    import json

    from dico.data.convert import read_records, statistics
    from dico.data.formats import Columns

    left_out: Counter[str] = Counter()
    columns = Columns.named(image_column, caption_column, where)
    numbers = statistics(read_records(dataset, images, format_name, left_out, columns))
    numbers["left_out"] = dict(left_out)
    if as_json:
        print(json.dumps(numbers, ensure_ascii=False, indent=1))
        return
    for name, value in numbers.items():
        if value in (None, {}):
            continue  # images that were not opened have no known size
        if isinstance(value, dict):
            value = ", ".join(f"{k}: {v}" for k, v in value.items())
        elif isinstance(value, list):
            value = " ".join(map(str, value))
        print(f"{name.replace('_', ' '):<22}{value}")


def _say(left_out: "Counter[str]") -> None:
    """Prints which captions were left out, where any was."""
    if left_out:
        print("left out: " + ", ".join(f"{count} {code}" for code, count in left_out.items()))
