"""The current champion's captions, for comparison on the same images."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def caption_with_champion(
    manifest: Input[Dataset],
    registry: str,
    model_name: str,
    version: str,
    split: str,
    store: str,
    captions: Output[Dataset],
):
    """Captions every image of a split with the champion; none where there is no champion.

    Args:
        manifest: Manifest of the dataset.
        registry: Folder or s3:// prefix of the registry.
        model_name: Name of the registered model.
        version: Number of the champion's version; empty where there is none.
        split: train, validation or test.
        store: Folder or s3:// prefix that the step's note is left in.

    Returns:
        captions: One caption per image, JSON lines.
    """
    from dico.steps.caption_with_champion import caption_with_champion as run
    from dico.steps.step import step

    with step("caption_with_champion", store):
        run(
            manifest=manifest.path,
            registry=registry,
            model_name=model_name,
            version=version,
            split=split,
            output_captions=captions.path,
        )
