"""Step: scores the candidate's captions beside its start's, the champion's and people's own."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dico.configuration.schema import from_json, to_dict
from dico.data.manifest import read_manifest, read_scenes
from dico.evaluation.captions_file import read_captions
from dico.evaluation.config import EvaluationConfig
from dico.evaluation.evaluate import evaluate
from dico.evaluation.independent import IndependentJudge
from dico.evaluation.judges import JudgeContext, build_judges
from dico.evaluation.systems import BASELINE, PRETRAINED
from dico.features.pointer import open_features
from dico.images.load import load_validated
from dico.models.evaluator import Evaluator, Weights
from dico.models.judge import has_judge
from dico.process.device import computing_device
from dico.tracking import scores_made
from dico.tracking.trackers import tracked
from dico.training.determinism import use_deterministic_kernels
from dico.training.model_folder import method_of, starts_as_published


def evaluate_captions(
    manifest: str,
    features: str,
    evaluator: str,
    captions: str,
    baseline_captions: str,
    champion_captions: str,
    split: str,
    config: str,
    output_evaluation: str,
    judge: str = "",
    captioner: str = "",
) -> None:
    """Writes metrics with intervals and the scores of each image, and prints the table."""
    settings = from_json(EvaluationConfig, config, "evaluation")
    use_deterministic_kernels()
    records = read_manifest(manifest, split)
    others = {"xe": baseline_captions, "champion": champion_captions}
    systems = {"dico": read_captions(captions)}
    systems |= {name: read_captions(path) for name, path in others.items() if path}
    if baseline_captions:
        systems[PRETRAINED] = read_captions(baseline_captions, "pretrained")
    systems = {name: texts for name, texts in systems.items() if texts}
    stored = open_features(features)
    keys = [record.sha256 for record in records]
    image_ids = [record.image_id for record in records]
    kinds: tuple[Weights, ...] = ("clip", "pac")
    embeddings: dict[str, dict[str, NDArray[np.floating]]] = {
        kind: dict(zip(image_ids, stored.read(keys, f"{kind}_embedding"), strict=True))
        for kind in kinds
    }
    device = computing_device()
    vocabulary, scenes = read_scenes(manifest, split)
    uris = {record.image_id: record.uri for record in records}
    references = {record.image_id: record.captions for record in records}
    judges = build_judges(settings.judges, JudgeContext(references, uris, load_validated))
    if has_judge(judge):
        judges.insert(0, IndependentJudge(judge, uris, device))
    evaluation = evaluate(
        systems,
        references,
        image_embeddings=embeddings,
        evaluators={kind: Evaluator.load(evaluator, kind, device) for kind in kinds},
        config=settings,
        training_captions=[c for r in read_manifest(manifest, "train") for c in r.captions],
        scenes=scenes,
        vocabulary=vocabulary,
        judges=judges,
    )
    evaluation.settings["method"] = method_of(captioner) if captioner else "dico"
    untouched = bool(captioner) and starts_as_published(captioner)
    evaluation.settings["start"] = PRETRAINED if untouched else BASELINE
    Path(output_evaluation).mkdir(parents=True, exist_ok=True)
    evaluation.save(output_evaluation)
    print(evaluation.table())
    scores = {
        f"{system}/{metric}": value
        for system, own in evaluation.systems.items()
        for metric, value in own.items()
    }
    with tracked("evaluate_captions", to_dict(settings)):
        scores_made(scores)
