"""The evaluation pipeline: a registered version on any dataset, beside the champion."""

from kfp import dsl

from dico_components.evaluate_captions import evaluate_captions
from dico_components.image import IMAGE
from dico_pipelines.stages import (
    begin_run,
    caption_by_champion,
    check_dataset,
    fetch_start,
    store_features,
)


@dsl.pipeline(
    name="dico-evaluate",
    description="Score a registered version on a dataset, beside the champion.",
)
def evaluate(
    dataset: str = "",
    images: str = "",
    preset: str = "toy",
    overrides: str = "",
    seed: int = 1,
    store: str = "",
    registry: str = "",
    model_name: str = "",
    version: str = "",
    image: str = IMAGE,
    secret: str = "dico",
    volume: str = "dico",
    gpu_type: str = "nvidia.com/gpu",
    gpus: int = 0,
    num_nodes: int = 1,
    cpu: str = "4",
    memory: str = "16Gi",
    node_selector: dict = {},
    tolerations: list = [],
):
    """Captions a dataset's test split by a registered version and scores it beside the champion.

    Args:
        dataset: Data. Path or s3:// URI of the annotations; empty for the built-in toy dataset.
        images: Data. Folder of the images; empty if the annotations hold their paths.
        preset: Settings. Name of a preset, such as toy or photos.
        overrides: Settings. Values to change, such as "xe.num_steps=200 finetune.beta=0.1".
        seed: Settings. Seed of everything random.
        store: Places. Folder or s3:// prefix for features and checkpoints; empty for the work volume.
        registry: Places. Folder or s3:// prefix of the model registry; empty for the work volume.
        model_name: Model. Name that it is registered under; empty for the preset's name.
        version: Model. Number of the version; empty for the champion.
        image: Pods. Container image of all steps; pin it by digest, since the cache knows an image by name alone.
        secret: Pods. Secret with the credentials of the object store and the signing keys.
        volume: Pods. PersistentVolumeClaim of the work volume, mounted at /data.
        gpu_type: Pods. Resource name of the GPUs.
        gpus: Pods. GPUs of each node that trains; other steps take one; 0 for the CPU.
        num_nodes: Pods. Nodes that train together; more than one needs Kubeflow Trainer.
        cpu: Pods. CPU limit of a step that computes, such as 4 or 500m.
        memory: Pods. Memory limit of a step that computes, such as 16Gi; 2Gi of it may be /dev/shm.
        node_selector: Pods. Labels of the nodes that may train, such as {"pool": "gpu"}.
        tolerations: Pods. Taints that training tolerates, as Kubernetes writes them.
    """
    with begin_run("dico-evaluate", "evaluate", locals()) as run:
        chosen = fetch_start(run)
        data = check_dataset(run)
        features = store_features(run, data["manifest"], chosen["evaluator"])
        run.pods.on_one_gpu(
            evaluate_captions(
                manifest=data["manifest"],
                features=features,
                captioner=chosen["captioner"],
                evaluator=chosen["evaluator"],
                judge=chosen["judge"],
                champion_captions=caption_by_champion(run, data["manifest"]),
                split="test",
                decoding=run.config["decoding"],
                config=run.config["evaluation"],
                store=run.store,
            )
        )
