"""All metrics of all systems on the same pictures, with intervals."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate_captions(
    manifest: Input[Dataset],
    features: Input[Artifact],
    evaluator: Input[Model],
    captions: Input[Dataset],
    split: str,
    config: str,
    store: str,
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    baseline_captions: Input[Dataset] = None,
    champion_captions: Input[Dataset] = None,
):
    """Scores the candidate, its cross-entropy start, the champion and the human captions.

    Args:
        manifest: Manifest of the dataset.
        features: Pointer to the features.
        evaluator: Judges captions against pictures.
        captions: The candidate's captions.
        split: Split that was captioned.
        config: Settings of the evaluation, JSON.
        store: Folder or s3:// prefix that the step's note is left in.
        baseline_captions: Captions of its cross-entropy start; may be none.
        champion_captions: Captions of the champion; may be none.

    Returns:
        evaluation: Metrics with intervals, and scores per picture.
        metrics: The candidate's metrics.
    """
    from dico.process.exits import exit_codes
    from dico.report import headline
    from dico.report.run_notes import noted
    from dico.steps.evaluate_captions import evaluate_captions as step

    with exit_codes(), noted("evaluate_captions", store):
        step(
            manifest=manifest.path,
            features=features.path,
            evaluator=evaluator.path,
            captions=captions.path,
            baseline_captions=baseline_captions.path if baseline_captions else "",
            champion_captions=champion_captions.path if champion_captions else "",
            split=split,
            config=config,
            output_evaluation=evaluation.path,
        )
        for name, value in headline(evaluation.path, metrics.path).items():
            metrics.log_metric(name, value)
