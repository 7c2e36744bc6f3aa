"""Stage by stage on the command line: what `dico train` writes is captioned with, judged, registered.

And judged beside the champion: no version that is added by hand takes its place unseen.
"""

import json

import pytest

from dico.cli import main as dico
from dico.evaluation.evaluate import Evaluation
from dico.registry import open_registry
from tests.training import tiny

SMALL = (
    "captioner.width=16 captioner.num_heads=2 captioner.ffn_width=32 captioner.num_text_positions=16 "
    "captioner.num_encoder_layers=1 captioner.num_decoder_layers=1 decoding.num_beams=2 "
    "decoding.max_tokens=8 xe.num_steps=2 xe.batch_size=4 xe.micro_batch_size=4 "
    "xe.captions_per_image=1 xe.num_validation_images=2 finetune.num_steps=2 finetune.batch_size=2 "
    "finetune.micro_batch_size=2 finetune.num_validation_images=2 finetune.reward=pac "
    "features.tower=pac evaluation.meteor=false evaluation.num_resamples=20"
)


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        dico([str(argument) for argument in arguments])
    assert not end.value.code


def test_what_is_trained_stage_by_stage_ends_in_the_registry(tmp_path, capsys):
    world = tiny.make_world(tmp_path / "world")
    settings = ["--preset", "toy", "--overrides", SMALL]
    data = ["--manifest", world / "manifest.parquet"]
    store = ["--store", tmp_path / "store"]
    made = {name: tmp_path / name for name in ("features", "xe", "dico")}
    judged = ["--evaluator", world / "evaluator"]
    run("features", *data, *judged, "--output", made["features"], *settings, *store)
    features = ["--features", made["features"]]
    run("train", "xe", *data, *features, "--output", made["xe"], *settings, *store)
    start = ["--captioner", made["xe"]]
    run(
        "train",
        "dico",
        *data,
        *features,
        *start,
        *judged,
        "--output",
        made["dico"],
        *settings,
        *store,
    )
    written = tmp_path / "captions.jsonl"
    trained = ["--captioner", made["dico"]]
    run("caption", *data, "--split", "test", *features, *trained, "--output", written)
    lines = [json.loads(line) for line in written.read_text().splitlines()]
    assert [line["image_id"] for line in lines] == [r.image_id for r in tiny.records(world, "test")]
    place = ["--registry", tmp_path / "registry"]
    baseline = ["--baseline", made["xe"]]
    run("models", "add", "mine", *trained, *baseline, *judged, *data, *features, *settings, *place)
    version = open_registry(str(tmp_path / "registry")).versions("mine")[-1]
    assert version.metadata["captioner_origin"] == "trained from random weights"
    assert "mine version 1" in capsys.readouterr().out
    run("models", "promote", "mine@1", "--anyway", *place)
    other = tmp_path / "other"
    run("train", "xe", *data, *features, "--output", other, *settings, *store, "--seed", 2)
    second = ["--captioner", other, *baseline, *judged, *data, *features]
    run("models", "add", "mine", *second, *settings, *place)
    opened = open_registry(str(tmp_path / "registry"))
    assert opened.champion("mine").number == 1
    assert opened.get("mine", 2).metadata["champion"] == "1"
    beside = Evaluation.load(opened.fetch(opened.get("mine", 2), tmp_path / "two") / "evaluation")
    rows = zip(*(beside.per_image[key] for key in ("system", "caption")), strict=True)
    assert [text for system, text in rows if system == "champion"] == [
        line["caption"] for line in lines
    ]
    with pytest.raises(SystemExit) as end:
        dico([str(a) for a in ("models", "add", "mine", *second, *place, "--audit", tmp_path)])
    assert end.value.code == 65
    capsys.readouterr()
    image = tiny.records(world, "test")[0].uri
    run("caption", image, "--model", "@1", *place)
    assert capsys.readouterr().out.strip()
