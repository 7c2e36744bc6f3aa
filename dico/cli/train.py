"""``dico train``: one stage of training, the same functions that the pipeline's steps call."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dico.cli.options import Features, Manifest, Overrides, Preset

if TYPE_CHECKING:
    from dico.steps.resolve_config import ResolvedConfig

app = typer.Typer(no_args_is_help=True)

Output = Annotated[Path, typer.Option(help="Folder to write the trained model into.")]
Store = Annotated[str, typer.Option(help="Folder or s3:// prefix that holds checkpoints.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of initialisation and order.")]
RunKey = Annotated[
    str, typer.Option(help="Names the checkpoints, so that the same key resumes; empty: derived.")
]


@app.command()
def evaluator(
    manifest: Manifest,
    output: Output,
    store: Store = "runs/store",
    preset: Preset = "toy",
    overrides: Overrides = "",
    seed: Seed = 1,
    run_key: RunKey = "",
) -> None:
    """Train the evaluator by positive-augmented contrastive learning."""
    config = _resolve(preset, overrides)

    from dico.steps.train_evaluator import train_evaluator

    train_evaluator(
        manifest=str(manifest),
        config=config.evaluator,
        seed=seed,
        run_key=run_key,
        store=store,
        output_evaluator=str(output),
    )


@app.command()
def xe(
    manifest: Manifest,
    features: Features,
    output: Output,
    store: Store = "runs/store",
    preset: Preset = "toy",
    overrides: Overrides = "",
    seed: Seed = 1,
    run_key: RunKey = "",
) -> None:
    """Train a captioner by cross-entropy on human captions."""
    config = _resolve(preset, overrides)

    from dico.steps.pretrain_captioner import pretrain_captioner

    pretrain_captioner(
        manifest=str(manifest),
        features=str(features),
        captioner_config=config.captioner,
        config=config.xe,
        decoding=config.decoding,
        seed=seed,
        run_key=run_key,
        store=store,
        output_captioner=str(output),
    )


@app.command()
def dico(
    manifest: Manifest,
    features: Features,
    captioner: Annotated[Path, typer.Option(help="Folder of the captioner to start from.")],
    evaluator: Annotated[Path, typer.Option(help="Folder of the evaluator, for the reward.")],
    output: Output,
    store: Store = "runs/store",
    preset: Preset = "toy",
    overrides: Overrides = "",
    seed: Seed = 1,
    run_key: RunKey = "",
) -> None:
    """Fine-tune a captioner by Direct CLIP-based Optimization."""
    config = _resolve(preset, overrides)

    from dico.steps.finetune_captioner import finetune_captioner

    finetune_captioner(
        manifest=str(manifest),
        features=str(features),
        captioner=str(captioner),
        evaluator=str(evaluator),
        config=config.finetune,
        decoding=config.decoding,
        seed=seed,
        run_key=run_key,
        store=store,
        output_captioner=str(output),
    )


def _resolve(preset: str, overrides: str) -> "ResolvedConfig":
    """Settings of every section as JSON, with the names of plug-ins checked."""
    from dico.presets.config import resolve
    from dico.presets.own_file import unfold
    from dico.presets.plugins import check_plugins
    from dico.steps.resolve_config import resolve_config

    chosen = unfold(preset, overrides)
    check_plugins(resolve(*chosen))
    return resolve_config(*chosen)
