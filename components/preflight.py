"""What the run needs, checked first: settings, dataset, places, credentials, resources."""

from typing import NamedTuple

from kfp import dsl

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def preflight(
    dataset: str,
    images: str,
    preset: str,
    overrides: str,
    store: str,
    registry: str,
    gpu_type: str,
    gpus: int,
    num_nodes: int,
    cpu: str,
    memory: str,
    node_selector: dict,
    tolerations: list,
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
    ],
):
    """Fails at once, and says all that is missing: a setting, a credential, a bucket, a right.

    Args:
        dataset: Path or s3:// URI of the annotations; empty where the run has none.
        images: Folder of the pictures; empty where the annotations know.
        preset: Name of the preset; empty where the run has none.
        overrides: Settings to change.
        store: Folder or s3:// prefix of the store; empty for the mounted work volume.
        registry: Folder or s3:// prefix of the registry; empty for the mounted work volume.
        gpu_type: Resource name of the GPUs.
        gpus: GPUs of each node.
        num_nodes: Nodes that train together.
        cpu: CPU limit of a pod that computes.
        memory: Memory limit of a pod that computes.
        node_selector: Labels of the nodes that may train.
        tolerations: Taints that training tolerates.

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
    """
    from dico.process.exits import exit_codes
    from dico.report.run_notes import noted
    from dico.steps.preflight import preflight as step

    with exit_codes(), noted("preflight", store):
        return step(
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
        )
