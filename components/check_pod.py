"""Check of a training pod from inside, while the dataset is still being checked."""

from kfp import dsl

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def check_pod(gpus: int, num_nodes: int, store: str):
    """Fails where a GPU is missing or unusable, or /dev/shm is too small for several ranks.

    Args:
        gpus: GPUs of each node.
        num_nodes: Nodes that train together; with several, this pod only follows them.
        store: Folder or s3:// prefix that the step's note is left in.
    """
    from dico.steps.check_pod import check_pod as run
    from dico.steps.step import step

    with step("check_pod", store):
        run(gpus=gpus if num_nodes == 1 else 0)
