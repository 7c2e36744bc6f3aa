"""Published weights by name: to a commit, and into the store, before anything expensive."""

from typing import NamedTuple

from kfp import dsl

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prepare_weights(
    evaluator: str,
    judge: str,
    captioner: str,
    store: str,
) -> NamedTuple("Outputs", [("evaluator", str), ("judge", str), ("captioner", str)]):
    """Resolves each name that the settings give, and fetches its files once.

    Args:
        evaluator: Settings of the evaluator, JSON.
        judge: Settings of the independent evaluator, JSON.
        captioner: Settings of the captioner, JSON.
        store: Folder or s3:// prefix that keeps the weights.

    Returns:
        evaluator: Commits and digests of the evaluator's weights, JSON.
        judge: Commits and digests of the independent evaluator's weights, JSON.
        captioner: Commit and digest of the captioner's weights, JSON.
    """
    from dico.steps.prepare_weights import prepare_weights as run
    from dico.steps.step import step

    with step("prepare_weights", store):
        return run(evaluator=evaluator, judge=judge, captioner=captioner, store=store)
