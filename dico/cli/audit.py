"""``dico audit``: whether an evaluator can tell what it will be asked to judge."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dico.cli.options import Manifest


class Part(StrEnum):
    """Names of an evaluator's judges."""

    pac = "pac"
    clip = "clip"
    generative = "generative"


class Split(StrEnum):
    """Names of the splits."""

    train = "train"
    validation = "validation"
    test = "test"


def audit(
    evaluator: Annotated[Path, typer.Argument(help="Folder of the evaluator.")],
    manifest: Manifest,
    part: Annotated[
        Part, typer.Option(help="Which of its scores: PAC weights, base CLIP, likelihood.")
    ] = Part.pac,
    second: Annotated[
        Path | None, typer.Option(help="Folder of another evaluator, for agreement.")
    ] = None,
    split: Annotated[
        Split, typer.Option(help="Split to use; not one that it was trained on.")
    ] = Split.validation,
    output: Annotated[
        Path, typer.Option(help="Folder for audit.json and index.html, the page with images.")
    ] = Path("audit"),
    num_images: Annotated[
        int, typer.Option(min=2, help="Maximum number of images, spread evenly over the split.")
    ] = 400,
    min_accuracy: Annotated[
        float, typer.Option(help="Accuracy required for a kind of edit; chance is 0.5.")
    ] = 0.75,
    seed: Annotated[int, typer.Option(min=0, help="Seed of edits and resamples.")] = 0,
) -> None:
    """Audit an evaluator: what it tells, what it pays for, whether it is fit, weak or unfit.

    Exit code 65 where it is unfit.
    """
    from dico.audit.config import AuditConfig
    from dico.configuration.schema import to_json
    from dico.steps.audit_evaluator import audit_evaluator

    config = AuditConfig(
        part=part.value,
        split=split.value,
        num_images=num_images,
        min_accuracy=min_accuracy,
        seed=seed,
    )
    second_evaluator = str(second) if second else ""
    audit_evaluator(
        str(manifest), "", str(evaluator), second_evaluator, to_json(config), str(output)
    )
    print(f"written to {output}")
