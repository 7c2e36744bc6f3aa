"""The candidate's captions, and all metrics of all systems on the same images, with intervals."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate_captions(
    manifest: Input[Dataset],
    features: Input[Artifact],
    captioner: Input[Model],
    evaluator: Input[Model],
    judge: Input[Model],
    split: str,
    decoding: str,
    config: str,
    store: str,
    captions: Output[Dataset],
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    baseline_captions: Input[Dataset] = None,
    champion_captions: Input[Dataset] = None,
):
    """Captions a split with the candidate; scores it, its start, the champion and people.

    Args:
        manifest: Manifest of the dataset.
        features: Pointer to the features.
        captioner: The candidate.
        evaluator: Judges captions against images.
        judge: The independent evaluator, or a note that there is none.
        split: Split to caption.
        decoding: Settings of beam search, JSON.
        config: Settings of the evaluation, JSON.
        store: Folder or s3:// prefix that the step's note is left in.
        baseline_captions: Captions of its cross-entropy start; may be none.
        champion_captions: Captions of the champion; may be none.

    Returns:
        captions: The candidate's captions, JSON lines.
        evaluation: Metrics with intervals, and scores per image.
        metrics: The candidate's metrics.
    """
    from dico.report import headline
    from dico.steps.evaluate_captions import evaluate_captions as run
    from dico.steps.generate_captions import generate_captions
    from dico.steps.step import step

    with step("evaluate_captions", store):
        shown = {"manifest": manifest.path, "features": features.path, "split": split}
        generate_captions(
            **shown,
            captioner=captioner.path,
            decoding=decoding,
            output_captions=captions.path,
        )
        run(
            **shown,
            evaluator=evaluator.path,
            captions=captions.path,
            baseline_captions=baseline_captions.path if baseline_captions else "",
            champion_captions=champion_captions.path if champion_captions else "",
            config=config,
            judge=judge.path,
            captioner=captioner.path,
            output_evaluation=evaluation.path,
        )
        for name, value in headline(evaluation.path, metrics.path).items():
            metrics.log_metric(name, value)
