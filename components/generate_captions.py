"""Captions of a whole split, written before anything is scored."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def generate_captions(
    manifest: Input[Dataset],
    features: Input[Artifact],
    captioner: Input[Model],
    split: str,
    decoding: str,
    store: str,
    captions: Output[Dataset],
):
    """Captions every image of a split.

    Args:
        manifest: Manifest of the dataset.
        features: Pointer to the features.
        captioner: The model.
        split: train, validation or test.
        decoding: Settings of beam search, JSON.
        store: Folder or s3:// prefix that the step's note is left in.

    Returns:
        captions: One caption per image, JSON lines.
    """
    from dico.steps.generate_captions import generate_captions as run
    from dico.steps.step import step

    with step("generate_captions", store):
        run(
            manifest=manifest.path,
            features=features.path,
            captioner=captioner.path,
            split=split,
            decoding=decoding,
            output_captions=captions.path,
        )
