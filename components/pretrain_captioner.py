"""The captioner's first stage: cross-entropy on human captions."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def pretrain_captioner(
    manifest: Input[Dataset],
    features: Input[Artifact],
    captioner_config: str,
    config: str,
    decoding: str,
    seed: int,
    run_key: str,
    store: str,
    captioner: Output[Model],
):
    """Trains a captioner by cross-entropy.

    Args:
        manifest: Manifest of the dataset.
        features: Pointer to the features.
        captioner_config: Architecture of the captioner, JSON.
        config: Settings of cross-entropy training, JSON.
        decoding: Settings of beam search for validation, JSON.
        seed: Seed of initialisation and order.
        run_key: Names the checkpoints; empty to derive it from data, settings and code.
        store: Folder or s3:// prefix that holds the checkpoints.

    Returns:
        captioner: Weights, config, tokenizer and history.
    """
    from dico.exits import exit_codes
    from dico.steps.pretrain_captioner import pretrain_captioner as step

    with exit_codes():
        step(
            manifest=manifest.path,
            features=features.path,
            captioner_config=captioner_config,
            config=config,
            decoding=decoding,
            seed=seed,
            run_key=run_key,
            store=store,
            output_captioner=captioner.path,
        )
