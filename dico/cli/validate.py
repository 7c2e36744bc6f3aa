"""``dico validate``: is this dataset fit to train on?"""

from pathlib import Path
from typing import Annotated

import typer

from dico.cli.options import CaptionColumn, ImageColumn, Images, Where
from dico.images.limits import MAX_PIXELS


def validate(
    dataset: Annotated[
        str,
        typer.Argument(help="File, folder or s3:// prefix; several with commas, as train=A,val=B."),
    ],
    images: Images = "",
    output: Annotated[
        Path, typer.Option(help="Folder for manifest.parquet, report.html, summary.json.")
    ] = Path("validation"),
    format: Annotated[  # noqa: A002 (the option's name)
        str, typer.Option(help="Name of the format, see docs/data.md; empty: detected.")
    ] = "",
    image_column: ImageColumn = "",
    caption_column: CaptionColumn = "",
    where: Where = "",
    explain: Annotated[
        str,
        typer.Option(
            help="Only explain how one row is read: its number from 0, its id, or FILE:LINE."
        ),
    ] = "",
    mode: Annotated[
        str,
        typer.Option(help="fail: any error fails. quarantine: exclude images up to the budget."),
    ] = "fail",
    budget: Annotated[
        float, typer.Option(min=0, max=1, help="Largest share of images excluded, 0 to 1.")
    ] = 0.02,
    thresholds: Annotated[
        str, typer.Option(help="JSON file with allowed shares and own expectations.")
    ] = "",
    baseline: Annotated[
        str, typer.Option(help="Manifest of earlier training data, to measure drift.")
    ] = "",
    image_check: Annotated[
        str, typer.Option(help="decode, or skip to check tables only.")
    ] = "decode",
    cache: Annotated[
        str, typer.Option(help="Folder that caches image facts between runs; empty: the output.")
    ] = "",
    workers: Annotated[int, typer.Option(min=0, help="Decoding processes; 0: one per core.")] = 0,
    min_captions: Annotated[
        int, typer.Option(min=0, help="Minimum number of usable captions per image.")
    ] = 1,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Maximum width x height; later steps accept what passed.")
    ] = MAX_PIXELS,
    max_caption_chars: Annotated[int, typer.Option(min=1, help="Longest caption.")] = 1_000,
    max_caption_words: Annotated[
        int, typer.Option(min=1, help="Words above which a caption is flagged as cut in training.")
    ] = 38,
    near_duplicates: Annotated[bool, typer.Option(help="Check for near-duplicate images.")] = True,
) -> None:
    """Check a dataset and write its manifest and a report with images.

    Ends with status 0 when the dataset may be trained on, with 65 and the reasons when not.
    """
    from dico.configuration.schema import from_dict
    from dico.errors import DataError
    from dico.validation.config import ValidationConfig
    from dico.validation.fidelity import lines
    from dico.validation.validate import validate as run

    settings = {
        "format": format,
        "mode": mode,
        "quarantine_budget": budget,
        "thresholds": thresholds,
        "baseline": baseline,
        "image_check": image_check,
        "cache": cache,
        "num_workers": workers,
        "near_duplicates": near_duplicates,
        "image_column": image_column,
        "caption_column": caption_column,
        "where": where,
        "min_captions": min_captions,
        "max_pixels": max_pixels,
        "max_caption_chars": max_caption_chars,
        "max_caption_words": max_caption_words,
    }
    config = from_dict(ValidationConfig, settings, "validate")
    if explain:
        from dico.validation.explain import explain as tell

        print(tell(dataset, images, config, explain))
        return
    result = run(dataset, images, config, output / "manifest.parquet", output)
    for line in lines(result.fidelity):
        print(line)
    if result.num_split_by_folder:
        print(f"splits       {result.num_split_by_folder} images by the folders in which they lie")
    if result.warnings:
        flags = (f"{count} {code}" for code, count in result.warnings.items())
        print(f"flagged      {'; '.join(flags)}")
    print(f"fingerprint  {result.fingerprint}")
    print(f"manifest     {output / 'manifest.parquet'}")
    print(f"report       {output / 'report.html'}")
    for reason in result.reasons:
        print(f"refused      {reason}")
    if not result.ok:
        many = f"{len(result.reasons)} reason" + "s" * (len(result.reasons) > 1)
        raise DataError(f"{dataset}: refused for {many}; see {output / 'report.html'}")
