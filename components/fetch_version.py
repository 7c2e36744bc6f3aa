"""The parts of a registered version, for work that starts from it."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Model, Output

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fetch_version(
    registry: str,
    model_name: str,
    version: str,
    champion: str,
    store: str,
    captioner: Output[Model],
    evaluator: Output[Model],
) -> NamedTuple("Outputs", [("fingerprint", str), ("settings", str), ("baseline", str)]):
    """Copies captioner and evaluator out of a version, checked by their digests.

    Args:
        registry: Folder or s3:// prefix of the registry.
        model_name: Name of the registered model.
        version: Number of the version; empty for the champion.
        champion: Number of the champion's version; empty where there is none.
        store: Folder or s3:// prefix that holds the manifests of earlier runs.

    Returns:
        captioner: The version's captioner.
        evaluator: The evaluator whose tower it sees through.
        fingerprint: SHA-256 over its pictures, captions and splits.
        settings: Its preset and overrides.
        baseline: URI of its dataset's manifest; empty where the store has none.
    """
    from dico.process.exits import exit_codes
    from dico.report.run_notes import noted
    from dico.steps.fetch_version import fetch_version as step

    with exit_codes(), noted("fetch_version", store):
        return step(
            registry=registry,
            model_name=model_name,
            version=version or champion,
            store=store,
            output_captioner=captioner.path,
            output_evaluator=evaluator.path,
        )
