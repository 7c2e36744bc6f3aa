"""The parts of a registered version, for work that starts from it."""

from kfp import dsl
from kfp.dsl import Model, Output

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fetch_version(
    registry: str,
    model_name: str,
    version: str,
    store: str,
    captioner: Output[Model],
    evaluator: Output[Model],
    judge: Output[Model],
):
    """Copies captioner and evaluator out of a version, checked by their digests.

    Args:
        registry: Folder or s3:// prefix of the registry.
        model_name: Name of the registered model.
        version: Number of the version.
        store: Folder or s3:// prefix that the step's note is left in.

    Returns:
        captioner: The version's captioner.
        evaluator: The evaluator whose tower it sees through.
        judge: Its independent evaluator, or a note that it has none.
    """
    from dico.steps.fetch_version import fetch_version as run
    from dico.steps.step import step

    with step("fetch_version", store):
        run(
            registry=registry,
            model_name=model_name,
            version=version,
            output_captioner=captioner.path,
            output_evaluator=evaluator.path,
            output_judge=judge.path,
        )
