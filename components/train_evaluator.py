"""The evaluator that judges captions, tuned on the user's domain."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Model, Output

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_evaluator(
    manifest: Input[Dataset],
    config: str,
    seed: int,
    run_key: str,
    store: str,
    weights: str,
    evaluator: Output[Model],
):
    """Trains a CLIP model by positive-augmented contrastive learning, or takes given weights.

    Args:
        manifest: Manifest of the dataset.
        config: Settings of the evaluator, JSON.
        seed: Seed of initialisation and order.
        run_key: Names the checkpoints; empty to derive it from data, settings and code.
        store: Folder or s3:// prefix that holds the checkpoints.
        weights: Commits and digests of its published weights, JSON.

    Returns:
        evaluator: Base CLIP and tuned weights, config and tokenizer.
    """
    from dico.steps.step import step
    from dico.steps.train_evaluator import train_evaluator as run

    with step("train_evaluator", store):
        run(
            manifest=manifest.path,
            config=config,
            seed=seed,
            run_key=run_key,
            store=store,
            weights=weights,
            output_evaluator=evaluator.path,
        )
