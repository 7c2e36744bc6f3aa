"""The captioner's second stage: Direct CLIP-based Optimization."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def finetune_captioner(
    manifest: Input[Dataset],
    features: Input[Artifact],
    captioner: Input[Model],
    evaluator: Input[Model],
    config: str,
    decoding: str,
    seed: int,
    run_key: str,
    store: str,
    finetuned_captioner: Output[Model],
):
    """Fine-tunes a captioner towards the captions that the evaluator prefers.

    Args:
        manifest: Manifest of the dataset.
        features: Pointer to the features.
        captioner: Where to start, and the reference model that it may not stray from.
        evaluator: Scores the candidates.
        config: Settings of fine-tuning, JSON.
        decoding: Settings of the beam search that proposes candidates, JSON.
        seed: Seed of the order.
        run_key: Names the checkpoints; empty to derive it from data, settings and code.
        store: Folder or s3:// prefix that holds the checkpoints.

    Returns:
        finetuned_captioner: Weights, config, tokenizer and history.
    """
    from dico.exits import exit_codes
    from dico.steps.finetune_captioner import finetune_captioner as step

    with exit_codes():
        step(
            manifest=manifest.path,
            features=features.path,
            captioner=captioner.path,
            evaluator=evaluator.path,
            config=config,
            decoding=decoding,
            seed=seed,
            run_key=run_key,
            store=store,
            output_captioner=finetuned_captioner.path,
        )
