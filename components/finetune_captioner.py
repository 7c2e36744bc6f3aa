"""The captioner's second stage: Direct CLIP-based Optimization."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def finetune_captioner(
    manifest: Input[Dataset],
    features: Input[Artifact],
    captioner: Input[Model],
    evaluator: Input[Model],
    audit: Input[Artifact],
    config: str,
    decoding: str,
    seed: int,
    run_key: str,
    store: str,
    gpus: int,
    num_nodes: int,
    pod: str,
    finetuned_captioner: Output[Model],
):
    """Fine-tunes a captioner towards the captions that the evaluator prefers.

    Args:
        manifest: Manifest of the dataset.
        features: Pointer to the features.
        captioner: Where to start, and the reference model that it may not stray from.
        evaluator: Scores the candidates.
        audit: What the evaluator can tell; words that it cannot may earn nothing.
        config: Settings of fine-tuning, JSON.
        decoding: Settings of the beam search that proposes candidates, JSON.
        seed: Seed of the order.
        run_key: Names the checkpoints; empty to derive it from data, settings and code.
        store: Folder or s3:// prefix that holds the checkpoints.
        gpus: Processes of each node, one for each GPU; 0 for one process on the CPU.
        num_nodes: Nodes that train together.
        pod: What each of several nodes gets, JSON.

    Returns:
        finetuned_captioner: Weights, config, tokenizer and history.
    """
    import json

    from dico.launching import launch
    from dico.steps.step import step

    with step("finetune_captioner", store):
        arguments = {
            "manifest": manifest.path,
            "features": features.path,
            "captioner": captioner.path,
            "evaluator": evaluator.path,
            "audit": audit.path,
            "config": config,
            "decoding": decoding,
            "seed": seed,
            "run_key": run_key,
            "store": store,
            "output_captioner": finetuned_captioner.path,
        }
        launch("finetune_captioner", arguments, gpus, num_nodes, json.loads(pod))
