"""Published weights all the way: an evaluator by its Hub name, adapted; a captioner, before and after."""

import json

import pytest
import torch

from dico.errors import ConfigError
from dico.evaluation.captions_file import read_captions
from dico.models.evaluator import Evaluator
from dico.steps.evaluate_captions import evaluate_captions
from dico.steps.extract_features import extract_features
from dico.steps.finetune_captioner import finetune_captioner
from dico.steps.generate_captions import generate_captions
from dico.steps.prepare_weights import prepare_weights
from dico.steps.pretrain_captioner import pretrain_captioner
from dico.steps.resolve_config import resolve_config
from dico.steps.train_evaluator import train_evaluator
from dico.storage import verify_digests
from dico.training.model_folder import is_as_published
from dico.weights.origin import origins
from tests.policy.families import blip, write_checkpoint
from tests.training import tiny
from tests.weights.test_encoders import open_clip_data, save_open_clip, transformers_clip

SMALL = (
    "evaluator.num_pac_steps=3 evaluator.batch_size=4 evaluator.validate_every_steps=1 "
    "evaluator.learning_rate=0.01 evaluator.warmup_share=0 "
)
CAPTIONING = (
    "captioner.architecture=huggingface captioner.checkpoint=acme/blip captioner.lora_rank=2 "
    "decoding.num_beams=2 decoding.max_tokens=8 features.tower=clip evaluation.num_resamples=20 evaluation.meteor=false "
)
STEPS = "num_steps=2 batch_size=4 micro_batch_size=4 num_validation_images=2"


def settings(overrides):
    return resolve_config("toy", overrides)


@pytest.fixture
def world(tmp_path):
    return tiny.make_world(tmp_path / "world")


@pytest.fixture
def train(world):
    """Trains an evaluator by ``overrides``, as the pipeline does; returns its folder."""

    def run(overrides, name="judged"):
        config = settings(SMALL + overrides)
        store = str(world / "store")
        pins = prepare_weights(config.evaluator, "{}", "{}", store).evaluator
        train_evaluator(
            str(world / "manifest.parquet"),
            config.evaluator,
            1,
            "",
            store,
            str(world / name),
            pins,
        )
        return world / name

    return run


@pytest.mark.parametrize("how", ["none", "projections", "lora", "all"])
def test_an_evaluator_of_the_hub_is_taken_as_it_is_or_adapted(tmp_path, hub, train, how):
    transformers_clip(tmp_path / "clip", 1)
    commit = hub.push("acme/clip", tmp_path / "clip", licence="mit")
    folder = train(f"evaluator.weights=acme/clip evaluator.adapt={how}")
    verify_digests(folder)
    base, tuned = Evaluator.load(folder, "clip"), Evaluator.load(folder, "pac")
    assert tuned.config.tuned == (how != "none")
    changed = {
        name
        for name, value in base.model.state_dict().items()
        if not torch.equal(value, tuned.model.state_dict()[name])
    }
    facts = json.loads((folder / "training.json").read_text())
    assert facts["published"]["clip"]["commit"] == commit
    said = origins(folder, folder)["evaluator_origin"]
    assert commit[:12] in said
    assert "licence mit" in said
    if how == "none":
        assert not changed
        assert "as published" in said
        return
    assert facts["retrieval"]["after"]["recall_at_1"] >= facts["retrieval"]["before"]["recall_at_1"]
    assert "R@1 of human captions" in said
    projections = {"visual.proj", "text_projection"}
    if how == "projections":
        assert changed <= projections
    elif how == "lora":
        assert not changed & projections
        assert all("weight" in name and "ln_" not in name for name in changed)


@pytest.mark.filterwarnings("ignore")
def test_siglip_by_its_name_rewards_a_captioner_with_words_of_its_own(tmp_path, hub, world, train):
    save_open_clip(tmp_path / "siglip", open_clip_data("ViT-B-16-SigLIP", "test_vit", 64, 64))
    hub.push("acme/siglip", tmp_path / "siglip", licence="apache-2.0")
    folder = train(
        "evaluator.weights=hf-hub:acme/siglip evaluator.vocabulary=captions "
        "evaluator.vocab_size=300 evaluator.adapt=projections"
    )
    assert Evaluator.load(folder).vocabulary.vocab_size == 300
    config = settings(
        "captioner.width=16 captioner.num_heads=2 captioner.ffn_width=32 "
        "captioner.num_text_positions=16 captioner.num_encoder_layers=1 "
        "captioner.num_decoder_layers=1 decoding.num_beams=2 decoding.max_tokens=8 "
        + " ".join(f"xe.{s} finetune.{s}" for s in STEPS.split())
        + " features.tower=clip finetune.batch_size=2 finetune.micro_batch_size=2"
        + " xe.captions_per_image=1 finetune.reward=pac"
    )
    manifest, store = str(world / "manifest.parquet"), str(world / "store")
    features = str(world / "own-features")
    extract_features(manifest, str(folder), config.features, store, features)
    xe, dico = str(world / "xe"), str(world / "dico")
    shared = (config.decoding, 1, "", store)
    pretrain_captioner(manifest, features, config.captioner, config.xe, *shared, xe)
    finetune_captioner(manifest, features, xe, str(folder), config.finetune, *shared, dico)
    rows = [
        json.loads(line) for line in (world / "dico" / "history.jsonl").read_text().splitlines()
    ]
    assert any("reward" in name for row in rows for name in row)


@pytest.mark.parametrize("num_steps", [0, 2])
def test_a_published_captioner_is_judged_before_any_training(tmp_path, hub, world, num_steps):
    captions = [text for record in tiny.records(world, "train") for text in record.captions]
    write_checkpoint(blip, tmp_path / "blip", captions)
    commit = hub.push("acme/blip", tmp_path / "blip", licence="bsd-3-clause")
    steps = " ".join(f"xe.{s}" for s in STEPS.split())
    config = settings(f"{CAPTIONING} {steps} xe.num_steps={num_steps} xe.captions_per_image=1")
    manifest, store = str(world / "manifest.parquet"), str(world / "store")
    features, output = str(world / "features"), world / f"blip-{num_steps}"
    pins = prepare_weights("{}", "{}", config.captioner, store).captioner
    pretrain_captioner(
        manifest, features, config.captioner, config.xe, config.decoding, 1, "", store,
        str(output), weights=pins,
    )  # fmt: skip
    said = origins(output, world / "evaluator")["captioner_origin"]
    assert f"acme/blip (commit {commit[:12]}" in said
    assert "licence bsd-3-clause" in said
    written = str(world / f"captions-{num_steps}.jsonl")
    generate_captions(manifest, features, str(output), "test", config.decoding, written)
    before = read_captions(written, "pretrained")
    assert bool(before) == (num_steps > 0)
    assert is_as_published(output) == (num_steps == 0)
    if not num_steps:
        return
    evaluation = world / "evaluation"
    evaluate_captions(
        manifest, features, str(world / "evaluator"), written, written, "", "test",
        config.evaluation, str(evaluation),
    )  # fmt: skip
    systems = json.loads((evaluation / "metrics.json").read_text())["systems"]
    assert {"dico", "xe", "pretrained", "human"} <= systems.keys()


def test_no_steps_need_a_captioner_that_knows_something(world):
    config = settings("xe.num_steps=0")
    with pytest.raises(ConfigError, match=r"xe\.num_steps: 0 leaves a new captioner at random"):
        pretrain_captioner(
            str(world / "manifest.parquet"), str(world / "features"), config.captioner,
            config.xe, config.decoding, 1, "", str(world / "store"), str(world / "none"),
        )  # fmt: skip
