"""The independent evaluator's scores of captions, against each part by itself."""

import json
import shutil

import numpy as np
import pytest
import torch

from dico.cli import main
from dico.configuration.schema import to_json
from dico.data.manifest import read_manifest
from dico.evaluation.config import EvaluationConfig
from dico.evaluation.evaluate import evaluate
from dico.evaluation.independent import IndependentJudge
from dico.images.load import load_image
from dico.models.evaluator import Evaluator
from dico.models.generative import FOLDER, GenerativeEvaluator
from dico.steps.train_judge import train_judge
from dico.training.configs import JudgeConfig
from tests.training.tiny import make_world

CONFIG = JudgeConfig(
    enabled=True,
    image_size_px=32,
    vision_layers=(1, 1),
    vision_width=8,
    text_width=16,
    text_layers=1,
    head_width=8,
    embed_dim=16,
    vocab_size=300,
    num_clip_steps=1,
    num_pac_steps=4,
    batch_size=8,
    caption_weight=1.0,
    judge_share=0.5,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judged")
    make_world(folder)
    manifest = str(folder / "manifest.parquet")
    train_judge(manifest, to_json(CONFIG), 1, "", str(folder / "store"), str(folder / "judge"))
    return folder


def judged(world):
    records = read_manifest(world / "manifest.parquet", "test")
    judge = IndependentJudge(world / "judge", {r.image_id: r.uri for r in records})
    return records, judge


def test_scores_are_the_cosine_the_rank_and_the_likelihood(world):
    records, judge = judged(world)
    captions = [record.captions[0] for record in records]
    scores = judge(captions, [record.image_id for record in records])
    evaluator = Evaluator.load(world / "judge", "pac")
    pixels = torch.stack([evaluator.preprocess(load_image(r.uri)) for r in records])
    tokens, images = evaluator.image_tokens(pixels)
    texts = evaluator.embed_texts(captions)
    cosines = texts @ images.T
    expected = (evaluator.config.w * cosines.diagonal().clamp(min=0)).numpy()
    np.testing.assert_allclose(scores["judge_score"], expected, atol=1e-6)
    first = cosines.argmax(dim=1) == torch.arange(len(records))
    np.testing.assert_array_equal(scores["judge_recall_at_1"], first.numpy())
    generative = GenerativeEvaluator.load(world / "judge" / FOLDER)
    ids = generative.tokenizer.encode_batch(captions, generative.max_tokens)
    nats = generative.score(tokens, ids[:, None], 1.0)[:, 0].numpy()
    np.testing.assert_allclose(scores["judge_likelihood"], nats, rtol=1e-5)


def test_images_are_found_by_their_names_in_any_order(world):
    records, judge = judged(world)
    captions = [record.captions[0] for record in records]
    names = [record.image_id for record in records]
    straight, reverse = judge(captions, names), judge(captions[::-1], names[::-1])
    np.testing.assert_allclose(
        straight["judge_likelihood"], reverse["judge_likelihood"][::-1], rtol=1e-5
    )


def test_every_system_of_an_evaluation_is_judged_with_intervals(world):
    records, judge = judged(world)
    references = {record.image_id: record.captions for record in records}
    systems = {
        "dico": {name: captions[0] for name, captions in references.items()},
        "xe": dict.fromkeys(references, "a circle"),
    }
    config = EvaluationConfig(meteor=False, num_resamples=50)
    found = evaluate(systems, references, config=config, judges=[judge])
    for key in ("judge_score", "judge_recall_at_1", "judge_likelihood"):
        assert {"dico", "xe", "human"} == {n for n, own in found.systems.items() if key in own}
        assert (
            found.differences["dico - xe"][key]["low"]
            <= found.differences["dico - xe"][key]["high"]
        )


def test_dico_agree_scores_by_each_evaluator_under_its_name(world, tmp_path, capsys):
    """Of two evaluators both, the likelihood of the generative one among them."""
    records, judge = judged(world)
    for number, record in enumerate(records):
        shutil.copy(record.uri, tmp_path / f"{number}.png")
    lines = [
        {"image_id": str(number), "winner": own.captions[0], "loser": own.captions[1] + " again"}
        for number, own in enumerate(records)
    ]
    pairs, output = tmp_path / "pairs.jsonl", tmp_path / "agree.json"
    pairs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    shutil.copytree(world / "judge", tmp_path / "second")
    options = ["--evaluator", world / "judge", "--evaluator", tmp_path / "second"]
    arguments = ["agree", pairs, "--images", tmp_path, "--output", output, *options]
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 0, capsys.readouterr().err
    found = json.loads(output.read_text())["metrics"]
    kinds = {"clip_score", "pac_score", "likelihood"}
    assert found.keys() == {f"{name}: {kind}" for name in ("judge", "second") for kind in kinds}
    wins = [
        judge([own.captions[0]], [own.image_id])["judge_likelihood"][0]
        > judge([own.captions[1] + " again"], [own.image_id])["judge_likelihood"][0]
        for own in records
    ]
    assert found["second: likelihood"]["accuracy"] == pytest.approx(np.mean(wins))
