"""The retraining pipeline: the champion goes on learning from a dataset that has grown.

It ends early where nothing is new, and refuses data that drifted too far from the champion's.
Only new pictures cost time: the evaluator stays, so stored features stay valid.
"""

from kfp import dsl

from dico_components.check_pod import check_pod
from dico_components.detect_changes import detect_changes
from dico_components.extract_features import extract_features
from dico_components.fetch_version import fetch_version
from dico_components.find_champion import find_champion
from dico_components.image import IMAGE
from dico_components.preflight import preflight
from dico_components.resolve_config import resolve_config
from dico_components.summarise_run import summarise_run
from dico_pipelines.stages import Run, check_dataset, train_and_register
from dico_pipelines.tasks import ComputingPods, Pods


@dsl.pipeline(
    name="dico-retrain",
    description="Train the champion further on new data; gate against it, register.",
)
def retrain(
    dataset: str = "",
    images: str = "",
    preset: str = "toy",
    overrides: str = "",
    seed: int = 1,
    force: bool = False,
    store: str = "",
    registry: str = "",
    model_name: str = "",
    run_key: str = "",
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
    """Trains the champion further where its dataset changed; gates against it and registers.

    Args:
        dataset: Data. Path or s3:// URI of the annotations; empty for the built-in small world.
        images: Data. Folder of the pictures; empty where the annotations know.
        preset: Settings. Name of a preset, such as toy or photos.
        overrides: Settings. Values to change, such as "xe.num_steps=200 finetune.beta=0.1".
        seed: Settings. Seed of everything random.
        force: Settings. Train also where nothing is new.
        store: Places. Folder or s3:// prefix for features and checkpoints; empty for the work volume.
        registry: Places. Folder or s3:// prefix of the model registry; empty for the work volume.
        model_name: Model. Name that it is registered under; empty for the preset's name.
        run_key: Model. Names the checkpoints, so that the same key resumes; empty to derive it.
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
    finish = pods.summary(summarise_run(pipeline="dico-retrain", store=store))
    with dsl.ExitHandler(finish, name="dico-retrain"):
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
        start = computing.heavy(
            fetch_version(
                registry=ready["registry"],
                model_name=champion["model_name"],
                version="",
                champion=champion["version"],
                store=ready["store"],
            )
        ).outputs
        data = check_dataset(computing, config, dataset, images, seed, start["baseline"])
        new = pods.light(
            detect_changes(
                fingerprint=data.fingerprint,
                champion_fingerprint=start["fingerprint"],
                preset=preset,
                overrides=overrides,
                champion_settings=start["settings"],
                force=force,
                store=ready["store"],
            ).after(data.gate),
            cached=False,
        ).output
        with dsl.If(new == "true", name="something-new"):
            checked_pod = computing.training(
                check_pod(gpus=gpus, num_nodes=num_nodes, store=ready["store"])
            ).set_caching_options(False)
            features = computing.on_one_gpu(
                extract_features(
                    manifest=data.manifest,
                    evaluator=start["evaluator"],
                    config=config["features"],
                    store=ready["store"],
                )
            ).outputs["features"]
            run = Run(
                computing,
                config,
                data,
                champion["model_name"],
                champion["version"],
                preset,
                overrides,
                seed,
                run_key,
                gpus,
                num_nodes,
            )
            train_and_register(
                run, start["evaluator"], features, start["captioner"], ready_pod=checked_pod
            )
