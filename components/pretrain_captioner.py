"""The captioner's first stage: cross-entropy on human captions."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from dico_components.image import IMAGE


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
    gpus: int,
    num_nodes: int,
    pod: str,
    weights: str,
    captioner: Output[Model],
    start_from: Input[Model] = None,
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
        gpus: Processes of each node, one for each GPU; 0 for one process on the CPU.
        num_nodes: Nodes that train together.
        pod: What each of several nodes gets, JSON.
        weights: Commits and digests of the captioner's published weights, JSON.
        start_from: A captioner that goes on learning; may be none.

    Returns:
        captioner: Weights, config, tokenizer and history.
    """
    import json

    from dico.launching import launch
    from dico.steps.step import step

    with step("pretrain_captioner", store):
        arguments = {
            "manifest": manifest.path,
            "features": features.path,
            "captioner_config": captioner_config,
            "config": config,
            "decoding": decoding,
            "seed": seed,
            "run_key": run_key,
            "store": store,
            "output_captioner": captioner.path,
            "start_from": start_from.path if start_from else "",
            "weights": weights,
        }
        launch("pretrain_captioner", arguments, gpus, num_nodes, json.loads(pod))
