"""Settings of every step from a preset and overrides, so that a change re-runs what it touches."""

from typing import NamedTuple

from kfp import dsl

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def resolve_config(preset: str, overrides: str) -> NamedTuple(
    "Outputs",
    [
        ("toy", str),
        ("validation", str),
        ("evaluator", str),
        ("judge", str),
        ("audit", str),
        ("features", str),
        ("captioner", str),
        ("decoding", str),
        ("xe", str),
        ("finetune", str),
        ("evaluation", str),
        ("gate", str),
    ],
):
    """Resolves a preset and overrides into one JSON text per section.

    Args:
        preset: Name of a preset, such as toy or photos.
        overrides: Settings to change, such as "xe.num_steps=200 finetune.beta=0.1".

    Returns:
        toy: Settings of the toy dataset.
        validation: Settings of the dataset's checks.
        evaluator: Settings of the evaluator and its training.
        judge: Settings of the independent evaluator and its training.
        audit: Settings of the evaluator's audit.
        features: Settings of feature extraction.
        captioner: Architecture of the captioner.
        decoding: Settings of beam search.
        xe: Settings of cross-entropy training.
        finetune: Settings of DiCO fine-tuning.
        evaluation: Settings of the evaluation.
        gate: Limits of the quality gate.
    """
    from dico.process.exits import exit_codes
    from dico.steps.resolve_config import resolve_config as run

    with exit_codes():
        return run(preset=preset, overrides=overrides)
