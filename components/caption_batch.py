"""Captions of a whole folder, bucket or dataset by a registered version."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Output

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def caption_batch(
    inputs: str,
    images: str,
    registry: str,
    model_name: str,
    version: str,
    destination: str,
    part_size: int,
    store: str,
    captions: Output[Dataset],
) -> NamedTuple("Outputs", [("num_captions", int), ("num_failed", int)]):
    """Captions all images, part by part: asked for again, it does only what is not done.

    Args:
        inputs: Folder or s3:// prefix of images, or a dataset of any known format.
        images: Folder of a dataset's images; empty if its annotations hold their paths.
        registry: Folder or s3:// prefix of the registry.
        model_name: Name of the registered model.
        version: Number of the version.
        destination: Folder or s3:// prefix that finished parts are kept below; empty for the store.
        part_size: Images of a part.
        store: Folder or s3:// prefix that the step's note is left in.

    Returns:
        captions: One line per image: a caption, or the reason why there is none.
        num_captions: Images that have a caption.
        num_failed: Images that could not be read.
    """
    from dico.steps.caption_batch import caption_batch as run
    from dico.steps.step import step

    with step("caption_batch", store) as facts:
        outputs = run(
            inputs=inputs,
            images=images,
            registry=registry,
            model_name=model_name,
            version=version,
            destination=destination or f"{store}/captions",
            part_size=part_size,
            output_captions=captions.path,
        )
        facts.update(outputs._asdict())
        return outputs
