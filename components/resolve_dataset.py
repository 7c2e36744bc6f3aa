"""The dataset to train on: the user's own, or the small world rendered into the store."""

from typing import NamedTuple

from kfp import dsl

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def resolve_dataset(dataset: str, images: str, toy: str, seed: int, store: str) -> NamedTuple(
    "Outputs", [("dataset", str), ("images", str), ("version", str)]
):
    """Finds the dataset, or renders the small world where none is named.

    Args:
        dataset: Path or s3:// URI of the annotations; empty for the small world.
        images: Folder of the pictures; empty where the annotations know.
        toy: Settings of the small world, JSON.
        seed: Seed of the small world.
        store: Folder or s3:// prefix that the small world is rendered into.

    Returns:
        dataset: Where the annotations are.
        images: Where the pictures are.
        version: Changes when the annotations or pictures change.
    """
    from dico.process.exits import exit_codes
    from dico.report.run_notes import noted
    from dico.steps.resolve_dataset import resolve_dataset as step

    with exit_codes(), noted("resolve_dataset", store):
        return step(dataset=dataset, images=images, toy=toy, seed=seed, store=store)
