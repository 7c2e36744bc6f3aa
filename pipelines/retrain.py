"""The retraining pipeline: the champion goes on learning from a dataset that has grown.

It ends early where nothing is new, and refuses data that drifted too far from the champion's.
Only new images cost time: the evaluator stays, so stored features stay valid.
"""

from kfp import dsl

from dico_components.image import IMAGE
from dico_pipelines.stages import (
    audit,
    begin_run,
    check_dataset,
    check_training_pod,
    evaluate_and_register,
    fetch_start,
    store_features,
    train_captioner,
)


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
        dataset: Data. Path or s3:// URI of the annotations; empty for the built-in toy dataset.
        images: Data. Folder of the images; empty if the annotations hold their paths.
        preset: Settings. Name of a preset, such as toy or photos.
        overrides: Settings. Values to change, such as "xe.num_steps=200 finetune.beta=0.1".
        seed: Settings. Seed of everything random.
        force: Settings. Train even if there is no new data.
        store: Places. Folder or s3:// prefix for features and checkpoints; empty for the work volume.
        registry: Places. Folder or s3:// prefix of the model registry; empty for the work volume.
        model_name: Model. Name that it is registered under; empty for the preset's name.
        run_key: Model. Names the checkpoints, so that the same key resumes; empty to derive it.
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
    with begin_run("dico-retrain", "retrain", locals()) as run:
        start = fetch_start(run)
        data = check_dataset(run)
        with dsl.If(data["new"] == "true", name="something-new"):
            pod_check = check_training_pod(run)
            evaluator, judge = start["evaluator"], start["judge"]
            features = store_features(run, data["manifest"], evaluator)
            audited = audit(run, data["manifest"], features, evaluator, judge)
            captioners = train_captioner(
                run,
                data["manifest"],
                features,
                evaluator,
                pod_check,
                audited,
                "{}",
                start["captioner"],
            )
            evaluate_and_register(run, data, features, evaluator, judge, audited, *captioners)
