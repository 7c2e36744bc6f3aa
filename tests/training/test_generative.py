"""A generative evaluator trained on stored features: it learns, also what it does not see."""

import torch

from dico.configuration.schema import to_json
from dico.models.captioner_config import CaptionerSettings
from dico.models.evaluator import Evaluator
from dico.models.generative import FOLDER, GenerativeEvaluator, has_generative, tower_of
from dico.steps.train_generative import train_generative as train_step
from dico.training.configs import EvaluatorTrainingConfig, XEConfig
from dico.training.distributed import World
from dico.training.generative import PartlyBlindData, train_generative
from tests.training import tiny

CONFIG = XEConfig(
    num_steps=30,
    batch_size=12,
    micro_batch_size=12,
    learning_rate=1e-2,
    validate_every_steps=30,
    num_validation_images=6,
    checkpoint_every_steps=30,
)


def train(world, folder, blind_share=0.5):
    data = PartlyBlindData(
        tiny.records(world, "train"), tiny.features(world), tiny.CPU, blind_share
    )
    made, state = train_generative(
        tiny.captioner(world),
        data,
        tiny.validator(world),
        CONFIG,
        0.5,
        1,
        tiny.checkpoints(folder),
        World(),
    )
    return data, made, state


def test_a_share_of_the_images_is_the_mean_image(world):
    data = PartlyBlindData(tiny.records(world, "train"), tiny.features(world), tiny.CPU, 0.5)
    torch.manual_seed(0)
    seen = data.images(range(24))
    blind = torch.isclose(seen, data.mean).all(dim=(1, 2))
    assert 4 < int(blind.sum()) < 20
    assert torch.equal(seen[~blind], data.tokens(range(24))[~blind])


def test_captions_become_likelier_blind_and_seen(world, tmp_path):
    data, made, state = train(world, tmp_path)
    losses = [row["loss"] for row in state.history.rows if "loss" in row]
    assert losses[-1] < losses[0] - 1
    tokens = made.tokenizer.encode_batch([r.captions[0] for r in data.records[:4]], 16)[:, None]
    untrained = GenerativeEvaluator(tiny.captioner(world).eval())
    untrained.blind_tokens.data.copy_(data.mean)
    images = data.tokens(range(4))
    assert (made.blind(tokens) > untrained.blind(tokens)).all()
    assert (made.likelihood(images, tokens) > untrained.likelihood(images, tokens)).all()


def test_the_same_seed_gives_the_same_evaluator(world, tmp_path):
    one, two = (train(world, tmp_path / name)[1] for name in "ab")
    assert all(
        torch.equal(a, b)
        for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    )


def test_the_step_puts_it_beside_the_evaluator_with_the_tower_that_it_reads(world, tmp_path):
    sizes = CaptionerSettings(
        num_text_positions=16,
        width=16,
        num_encoder_layers=0,
        num_decoder_layers=1,
        num_heads=2,
        ffn_width=32,
        dropout=0.0,
    )
    train_step(
        manifest=str(world / "manifest.parquet"),
        features=str(world / "features"),
        evaluator=str(world / "evaluator"),
        evaluator_config=to_json(EvaluatorTrainingConfig(alpha=0.25)),
        captioner_config=to_json(sizes),
        config=to_json(CONFIG),
        seed=1,
        run_key="",
        store=str(tmp_path / "store"),
        output_evaluator=str(tmp_path / "evaluator"),
    )
    assert has_generative(tmp_path / "evaluator")
    assert not has_generative(world / "evaluator")
    assert tower_of(tmp_path / "evaluator") == "clip"
    assert Evaluator.load(tmp_path / "evaluator").digest == tiny.evaluator(world).digest
    loaded = GenerativeEvaluator.load(tmp_path / "evaluator" / FOLDER)
    assert loaded.alpha == 0.25
    tokens = loaded.tokenizer.encode_batch(["a red circle"], 16)[:, None]
    assert torch.isfinite(loaded.score(tiny.data(world).tokens([0]), tokens)).all()
