"""Check of all that a run needs: settings, dataset, places, credentials, resources, champion."""

from typing import NamedTuple

from kfp import dsl

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def preflight(
    purpose: str,
    preset: str,
    store: str,
    registry: str,
    model_name: str,
    gpu_type: str,
    gpus: int,
    num_nodes: int,
    cpu: str,
    memory: str,
    node_selector: dict,
    tolerations: list,
    dataset: str = "",
    images: str = "",
    overrides: str = "",
    seed: int = 0,
    version: str = "",
    force: bool = False,
) -> NamedTuple(
    "Outputs",
    [
        ("store", str),
        ("registry", str),
        ("gpu_type", str),
        ("gpus", str),
        ("one_gpu_type", str),
        ("one_gpu", str),
        ("cpu", str),
        ("memory", str),
        ("pod", str),
        ("dataset", str),
        ("images", str),
        ("dataset_version", str),
        ("model_name", str),
        ("champion", str),
        ("version", str),
        ("known", str),
        ("baseline", str),
    ],
):
    """Fails at once, and says what is missing: a setting, a credential, a right, a champion.

    Args:
        purpose: train, retrain, evaluate or caption; says what must be there.
        preset: Name of the preset.
        store: Folder or s3:// prefix of the store; empty for the mounted work volume.
        registry: Folder or s3:// prefix of the registry; empty for the mounted work volume.
        model_name: Name of the registered model; empty for the preset's name.
        gpu_type: Resource name of the GPUs.
        gpus: GPUs of each node.
        num_nodes: Nodes that train together.
        cpu: CPU limit of a pod that computes.
        memory: Memory limit of a pod that computes.
        node_selector: Labels of the nodes that may train.
        tolerations: Taints that training tolerates.
        dataset: Path or s3:// URI of the annotations; empty for the toy dataset.
        images: Folder of the images; empty if the annotations hold their paths.
        overrides: Settings to change.
        seed: Seed of the toy dataset.
        version: Number of the version to work with; empty for the champion.
        force: Whether a retraining trains in any case.

    Returns:
        store: Folder or s3:// prefix of the store.
        registry: Folder or s3:// prefix of the registry.
        gpu_type: Resource name of a training pod's GPUs; empty where it needs none.
        gpus: GPUs of a training pod, as text.
        one_gpu_type: Resource name of the GPU of a step of one process; empty where the run has none.
        one_gpu: 1 where the run has GPUs, else 0, as text.
        cpu: CPU limit of a pod that computes, as text.
        memory: Memory limit of a pod that computes, as text.
        pod: What each of several nodes gets, JSON.
        dataset: Where the annotations are.
        images: Where the images are.
        dataset_version: Changes when the annotations or images change.
        model_name: Name of the registered model.
        champion: Number of the champion's version; empty where there is none.
        version: Number of the version to work with; empty where there is none.
        known: Fingerprint of a dataset that teaches nothing new; empty where every one does.
        baseline: URI of the manifest that drift is measured from; empty for none.
    """
    from dico.steps.preflight import preflight as run
    from dico.steps.step import step

    with step("preflight", store) as facts:
        found = run(
            purpose=purpose,
            dataset=dataset,
            images=images,
            preset=preset,
            overrides=overrides,
            seed=seed,
            store=store,
            registry=registry,
            model_name=model_name,
            version=version,
            force=force,
            gpu_type=gpu_type,
            gpus=gpus,
            num_nodes=num_nodes,
            cpu=cpu,
            memory=memory,
            node_selector=node_selector,
            tolerations=tolerations,
        )
        facts.update(champion=found.champion)
        return found
