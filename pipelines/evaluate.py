"""The evaluation pipeline: a registered version on any dataset, beside the champion."""

from kfp import dsl

from dico_components.caption_with_champion import caption_with_champion
from dico_components.evaluate_captions import evaluate_captions
from dico_components.extract_features import extract_features
from dico_components.fetch_version import fetch_version
from dico_components.find_champion import find_champion
from dico_components.generate_captions import generate_captions
from dico_components.image import IMAGE
from dico_components.preflight import preflight
from dico_components.resolve_config import resolve_config
from dico_components.summarise_run import summarise_run
from dico_pipelines.stages import check_dataset
from dico_pipelines.tasks import ComputingPods, Pods


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
        dataset: Data. Path or s3:// URI of the annotations; empty for the built-in small world.
        images: Data. Folder of the pictures; empty where the annotations know.
        preset: Settings. Name of a preset, such as toy or photos.
        overrides: Settings. Values to change, such as "xe.num_steps=200 finetune.beta=0.1".
        seed: Settings. Seed of everything random.
        store: Places. Folder or s3:// prefix for features and checkpoints; empty for the work volume.
        registry: Places. Folder or s3:// prefix of the model registry; empty for the work volume.
        model_name: Model. Name that it is registered under; empty for the preset's name.
        version: Model. Number of the version; empty for the champion.
        image: Pods. Image of every step; by digest, so that a cached step is never of another image.
        secret: Pods. Secret with the credentials of the object store and the signing keys.
        volume: Pods. Claim on the work volume, mounted at /data.
        gpu_type: Pods. Resource name of the GPUs.
        gpus: Pods. GPUs of each node that trains; other steps take one; 0 for the CPU.
        num_nodes: Pods. Nodes that train together; more than one needs Kubeflow Trainer.
        cpu: Pods. CPU limit of a step that computes, such as 4 or 500m.
        memory: Pods. Memory limit of a step that computes, such as 16Gi; 2Gi of it may be /dev/shm.
        node_selector: Pods. Labels of the nodes that may train, such as {"pool": "gpu"}.
        tolerations: Pods. Taints that training tolerates, as Kubernetes writes them.
    """
    pods = Pods(image, secret, volume)
    finish = pods.summary(summarise_run(pipeline="dico-evaluate", store=store))
    with dsl.ExitHandler(finish, name="dico-evaluate"):
        ready = pods.light(
            preflight(
                dataset=dataset,
                images=images,
                preset=preset,
                overrides=overrides,
                store=store,
                registry=registry,
                gpu_type=gpu_type,
                gpus=gpus,
                num_nodes=num_nodes,
                cpu=cpu,
                memory=memory,
                node_selector=node_selector,
                tolerations=tolerations,
            ),
            cached=False,
        ).outputs
        computing = ComputingPods(image, secret, volume, ready, node_selector, tolerations)
        config = pods.light(resolve_config(preset=preset, overrides=overrides)).outputs
        champion = pods.light(
            find_champion(
                registry=ready["registry"],
                model_name=model_name,
                preset=preset,
                store=ready["store"],
            ),
            cached=False,
        ).outputs
        chosen = computing.heavy(
            fetch_version(
                registry=ready["registry"],
                model_name=champion["model_name"],
                version=version,
                champion=champion["version"],
                store=ready["store"],
            )
        ).outputs
        data = check_dataset(computing, config, dataset, images, seed)
        features = computing.on_one_gpu(
            extract_features(
                manifest=data.manifest,
                evaluator=chosen["evaluator"],
                config=config["features"],
                store=ready["store"],
            ).after(data.gate)
        ).outputs["features"]
        test = {"manifest": data.manifest, "split": "test", "store": ready["store"]}
        captions = computing.on_one_gpu(
            generate_captions(
                features=features,
                captioner=chosen["captioner"],
                decoding=config["decoding"],
                **test,
            )
        ).outputs["captions"]
        champion_captions = computing.on_one_gpu(
            caption_with_champion(
                registry=ready["registry"],
                model_name=champion["model_name"],
                version=champion["version"],
                **test,
            ).after(data.gate)
        ).outputs["captions"]
        computing.on_one_gpu(
            evaluate_captions(
                features=features,
                evaluator=chosen["evaluator"],
                captions=captions,
                champion_captions=champion_captions,
                config=config["evaluation"],
                **test,
            )
        )
