"""The captioning pipeline: a whole folder, bucket or dataset by a registered version."""

from kfp import dsl

from dico_components.caption_batch import caption_batch
from dico_components.image import IMAGE
from dico_pipelines.stages import begin_run
from dico_pipelines.tasks import WEEK


@dsl.pipeline(
    name="dico-caption",
    description="Caption a folder, a bucket or a dataset by a registered version.",
)
def caption(
    inputs: str,
    images: str = "",
    preset: str = "toy",
    store: str = "",
    registry: str = "",
    destination: str = "",
    model_name: str = "",
    version: str = "",
    part_size: int = 1000,
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
    """Captions all images, part by part; started again, it does only what is not done.

    Args:
        inputs: Data. Folder or s3:// prefix of images, or a dataset of any known format.
        images: Data. Folder of the images; empty if the annotations hold their paths.
        preset: Settings. Name of a preset, such as toy or photos.
        store: Places. Folder or s3:// prefix for features and checkpoints; empty for the work volume.
        registry: Places. Folder or s3:// prefix of the model registry; empty for the work volume.
        destination: Places. Folder or s3:// prefix of the captions; empty for one in the store.
        model_name: Model. Name that it is registered under; empty for the preset's name.
        version: Model. Number of the version; empty for the champion.
        part_size: Settings. Images of a part; a job that is started again goes on after the last part.
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
    with begin_run("dico-caption", "caption", locals()) as run:
        run.pods.on_one_gpu(
            caption_batch(
                inputs=inputs,
                images=images,
                registry=run.ready["registry"],
                model_name=run.ready["model_name"],
                version=run.ready["version"],
                destination=destination,
                part_size=part_size,
                store=run.store,
            ),
            hours=WEEK,
        ).set_caching_options(False)
