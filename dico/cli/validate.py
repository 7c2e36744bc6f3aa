"""``dico validate``: is this dataset fit to train on?"""

from pathlib import Path
from typing import Annotated

import typer


def validate(
    dataset: Annotated[
        str,
        typer.Argument(help="File, folder or s3:// prefix; several with commas, as train=A,val=B."),
    ],
    images: Annotated[
        str, typer.Option(help="Folder or prefix of the pictures; empty: beside the dataset.")
    ] = "",
    output: Annotated[
        Path, typer.Option(help="Folder for manifest.parquet, report.html, summary.json.")
    ] = Path("validation"),
    format: Annotated[  # noqa: A002 (the option's name)
        str, typer.Option(help="karpathy, coco, jsonl, json, csv, parquet, captions, webdataset.")
    ] = "",
    mode: Annotated[
        str, typer.Option(help="fail: any error fails. quarantine: set aside up to the budget.")
    ] = "fail",
    budget: Annotated[
        float, typer.Option(min=0, max=1, help="Largest share of pictures set aside, 0 to 1.")
    ] = 0.02,
    thresholds: Annotated[
        str, typer.Option(help="JSON file with allowed shares and own expectations.")
    ] = "",
    baseline: Annotated[
        str, typer.Option(help="Manifest of the data trained on before, to measure drift.")
    ] = "",
    pictures: Annotated[str, typer.Option(help="decode, or skip to check tables only.")] = "decode",
    cache: Annotated[
        str, typer.Option(help="Folder that remembers pictures between runs; empty: the output.")
    ] = "",
    workers: Annotated[int, typer.Option(min=0, help="Decoding processes; 0: one per core.")] = 0,
    near_duplicates: Annotated[
        bool, typer.Option(help="Look for nearly identical pictures.")
    ] = True,
) -> None:
    """Check a dataset and write its manifest and a report with pictures.

    Ends with status 0 when the dataset may be trained on, with 65 and the reasons when not.
    """
    from dico.config_schema import from_dict
    from dico.errors import DataError
    from dico.validation import ValidationConfig
    from dico.validation import validate as run

    settings = {
        "format": format,
        "mode": mode,
        "quarantine_budget": budget,
        "thresholds": thresholds,
        "baseline": baseline,
        "pictures": pictures,
        "cache": cache,
        "num_workers": workers,
        "near_duplicates": near_duplicates,
    }
    config = from_dict(ValidationConfig, settings, "validate")
    result = run(dataset, images, config, output / "manifest.parquet", output)
    print(f"pictures     {result.num_images}")
    print(f"fingerprint  {result.fingerprint}")
    print(f"manifest     {output / 'manifest.parquet'}")
    print(f"report       {output / 'report.html'}")
    for reason in result.reasons:
        print(f"refused      {reason}")
    if not result.ok:
        many = f"{len(result.reasons)} reason" + "s" * (len(result.reasons) > 1)
        raise DataError(f"{dataset}: refused for {many}; see {output / 'report.html'}")
