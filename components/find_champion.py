"""Which version reigns now; asked anew in every run."""

from typing import NamedTuple

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def find_champion(registry: str, model_name: str, preset: str) -> NamedTuple(
    "Outputs", [("model_name", str), ("version", str)]
):
    """Asks the registry for the champion.

    Args:
        registry: Folder or s3:// prefix of the registry.
        model_name: Name of the registered model; empty for the preset's name.
        preset: Name of the preset.

    Returns:
        model_name: Name of the registered model.
        version: Number of the champion's version; empty where there is none.
    """
    from dico.exits import exit_codes
    from dico.steps.find_champion import find_champion as step

    with exit_codes():
        return step(registry=registry, model_name=model_name or preset)
