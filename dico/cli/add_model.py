"""``dico models add``: judges and registers what `dico train` or torchrun wrote."""

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from dico.cli.options import (
    DEFAULT_REGISTRY,
    Features,
    Manifest,
    Overrides,
    Preset,
    Registry,
)


def add(
    name: Annotated[str, typer.Argument(help="Name to register under.")],
    captioner: Annotated[Path, typer.Option(help="Folder of the fine-tuned captioner.")],
    baseline: Annotated[Path, typer.Option(help="Folder of the captioner that it started from.")],
    evaluator: Annotated[Path, typer.Option(help="Folder of the evaluator.")],
    manifest: Manifest,
    features: Features,
    split: Annotated[str, typer.Option(help="Split to caption and score.")] = "test",
    judge: Annotated[str, typer.Option(help="Folder of an independent evaluator.")] = "",
    audit: Annotated[
        str,
        typer.Option(
            help="What `dico audit` wrote of this evaluator: the gate looks for its hacks."
        ),
    ] = "",
    preset: Preset = "toy",
    overrides: Overrides = "",
    registry: Registry = DEFAULT_REGISTRY,
) -> None:
    """Score, judge and register a trained captioner.

    A split is captioned, by the current champion too, and scored, and the gate decides whether it
    becomes the champion.
    """
    from dico.steps.resolve_config import resolve_config

    config = resolve_config(preset=preset, overrides=overrides)

    from dico.audit.audit import read_audit
    from dico.data.manifest import fingerprint
    from dico.steps.caption_with_champion import caption_with_champion
    from dico.steps.compare_models import compare_models
    from dico.steps.evaluate_captions import evaluate_captions
    from dico.steps.find_champion import find_champion
    from dico.steps.generate_captions import generate_captions
    from dico.steps.register_model import register_model
    from dico.steps.report_run import report_run

    if audit:
        read_audit(audit, evaluator)  # a wrong one is told before anything is computed
    with tempfile.TemporaryDirectory(prefix="register-") as working:

        def place(kind: str) -> str:
            return str(Path(working) / kind)

        data = (str(manifest), str(features))
        for folder, kind in ((captioner, "captions"), (baseline, "before")):
            generate_captions(*data, str(folder), split, config.decoding, place(kind))
        champion = find_champion(registry, name, "", "train", "", force=False, store="").champion
        caption_with_champion(str(manifest), registry, name, champion, split, place("champion"))
        evaluate_captions(
            *data,
            str(evaluator),
            place("captions"),
            place("before"),
            place("champion"),
            split,
            config.evaluation,
            place("evaluation"),
            judge,
            str(captioner),
        )
        compare_models(place("evaluation"), config.gate, place("decision"), audit)
        lineage = json.dumps(
            {
                "dataset": str(manifest),
                "fingerprint": fingerprint(str(manifest)),
                "preset": preset,
                "overrides": overrides,
                "champion": champion,
            }
        )
        made = (place("evaluation"), place("decision"))
        folders = (str(manifest), str(evaluator), str(baseline), str(captioner))
        report_run(*folders, *made, lineage, place("report"))
        version = register_model(
            str(captioner),
            str(evaluator),
            *made,
            place("report"),
            registry,
            name,
            lineage,
            place("version"),
            judge,
        )
    print(
        f"{name} version {version.version}" + (", champion" if version.promoted == "true" else "")
    )
