"""Which version reigns now; asked anew in every run."""

from typing import NamedTuple

from kfp import dsl

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def find_champion(registry: str, model_name: str, preset: str, store: str) -> NamedTuple(
    "Outputs", [("model_name", str), ("version", str)]
):
    """Asks the registry for the champion.

    Args:
        registry: Folder or s3:// prefix of the registry.
        model_name: Name of the registered model; empty for the preset's name.
        preset: Name of the preset.
        store: Folder or s3:// prefix that the step's note is left in.

    Returns:
        model_name: Name of the registered model.
        version: Number of the champion's version; empty where there is none.
    """
    from dico.process.exits import exit_codes
    from dico.report.run_notes import noted
    from dico.steps.find_champion import find_champion as step

    with exit_codes(), noted("find_champion", store) as facts:
        outputs = step(registry=registry, model_name=model_name or preset)
        facts.update(champion=outputs.version)
        return outputs
