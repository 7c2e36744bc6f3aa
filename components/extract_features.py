"""Features of the frozen vision tower, each image once."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def extract_features(
    manifest: Input[Dataset],
    evaluator: Input[Model],
    config: str,
    store: str,
    features: Output[Artifact],
):
    """Computes features of the images that the store does not have yet.

    Args:
        manifest: Manifest of the dataset.
        evaluator: The model whose vision tower the captioner sees through.
        config: Settings of feature extraction, JSON.
        store: Folder or s3:// prefix that holds the features.

    Returns:
        features: Pointer to the features in the store, JSON.
    """
    from dico.steps.extract_features import extract_features as run
    from dico.steps.step import step

    with step("extract_features", store):
        run(
            manifest=manifest.path,
            evaluator=evaluator.path,
            config=config,
            store=store,
            output_features=features.path,
        )
