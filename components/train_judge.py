"""The independent evaluator: it judges the outcome, and nothing is tuned on it."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Model, Output

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_judge(
    manifest: Input[Dataset],
    config: str,
    seed: int,
    run_key: str,
    store: str,
    weights: str,
    judge: Output[Model],
):
    """Trains an evaluator on images that the first one does not see, where settings want one.

    Args:
        manifest: Manifest of the dataset.
        config: Settings of the independent evaluator, JSON.
        seed: Seed of the run, of which the judge's own follows.
        run_key: Names the checkpoints; empty to derive it from data, settings and code.
        store: Folder or s3:// prefix that holds the checkpoints.
        weights: Commits and digests of its published weights, JSON.

    Returns:
        judge: An evaluator, or a note that there is none.
    """
    from dico.steps.step import step
    from dico.steps.train_judge import train_judge as run

    with step("train_judge", store):
        run(
            manifest=manifest.path,
            config=config,
            seed=seed,
            run_key=run_key,
            store=store,
            weights=weights,
            output_judge=judge.path,
        )
