"""Captioners of transformers as the policy: both stages, captioning and export, from pixels."""

import dataclasses

import pytest
import torch

from dico.models.captioner_config import HuggingFaceConfig
from dico.models.huggingface import has_adapters, open_checkpoint
from dico.policy import HuggingFacePolicy, load_policy
from dico.policy.captioning import caption_images
from dico.rewards import RetokenisedReward
from dico.training.configs import FinetuneConfig, XEConfig
from dico.training.data import CaptioningData
from dico.training.distributed import World
from dico.training.finetune import finetune
from dico.training.pixel_cache import pixel_cache_of
from dico.training.xe import pretrain
from tests.policy.chat_models import write_qwen, write_smolvlm
from tests.policy.families import FAMILIES, PROMPT, PROMPTED, blip, write_checkpoint
from tests.training import tiny

XE = XEConfig(
    num_steps=2,
    batch_size=8,
    captions_per_image=2,
    micro_batch_size=4,
    learning_rate=1e-2,
    validate_every_steps=2,
    num_validation_images=2,
)
DICO = FinetuneConfig(
    num_steps=2, batch_size=4, micro_batch_size=4, learning_rate=1e-2, validate_every_steps=2
)


@pytest.fixture(scope="module")
def start(world, tmp_path_factory):
    """Folder of a random model of one family, made once for all tests."""
    made = {}
    captions = [text for record in tiny.records(world, "train") for text in record.captions]

    def get(make):
        if make not in made:
            folder = tmp_path_factory.mktemp(make.__name__)
            made[make] = write_checkpoint(make, folder, captions)
        return made[make]

    return get


def opened(folder, make, **settings):
    prompt = PROMPT if make in PROMPTED else ""
    config = HuggingFaceConfig(checkpoint=str(folder), prompt=prompt, **settings)
    return HuggingFacePolicy(open_checkpoint(config))


def data(world, policy):
    train = tiny.records(world, "train")
    return CaptioningData(train, tiny.features(world), tiny.CPU, pixel_cache_of(policy))


def train_xe(world, policy, folder, **changes):
    validator = tiny.validator(world)
    config = dataclasses.replace(XE, **changes)
    store = tiny.checkpoints(folder / "xe")
    return pretrain(policy, data(world, policy), validator, config, 1, store, World())


def train_dico(world, policy, folder, **changes):
    judge = tiny.evaluator(world)
    return finetune(
        policy,
        data(world, policy),
        RetokenisedReward(tiny.reward(world), judge.tokenizer, 16),
        tiny.validator(world, judged=True),
        dataclasses.replace(DICO, **changes),
        tiny.SEARCH,
        1,
        tiny.checkpoints(folder / "dico"),
        World(),
        keep_best=False,
    )


def captions(world, policy):
    uris = [record.uri for record in tiny.records(world, "test")]
    return list(caption_images(policy, None, uris, tiny.SEARCH))


def assert_alike(found, expected):
    """The same captions; merging adapters leaves rounding in their log-probabilities."""
    assert [caption.text for caption in found] == [caption.text for caption in expected]
    assert [c.logp for c in found] == pytest.approx([c.logp for c in expected], abs=1e-4)


def weights(policy):
    """Copies of the model's own weights, without adapters."""
    state = policy.captioner.model.state_dict()
    own = {k.replace(".base_layer", ""): v.clone() for k, v in state.items() if "lora_" not in k}
    assert not any("base_layer" in name for name in own)
    return own


def changed(before, policy):
    after = weights(policy)
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize("make", FAMILIES)
def test_both_stages_captions_and_export(world, start, tmp_path, make, rank):
    policy = opened(start(make), make, lora_rank=rank)
    before = weights(policy)
    losses = [row["loss"] for row in train_xe(world, policy, tmp_path).history.rows]
    assert losses[1] < losses[0]
    if rank:
        assert changed(before, policy) == set()
        assert all("lora_" in name for name in policy.trained.state_dict())
    else:
        assert len(changed(before, policy)) > len(before) // 2
    by_xe = captions(world, policy)
    policy.save(tmp_path / "xe-model")

    tuned = load_policy(tmp_path / "xe-model")
    assert not has_adapters(tuned.captioner.model)
    assert_alike(captions(world, tuned), by_xe)
    rows = [row for row in train_dico(world, tuned, tmp_path).history.rows if "loss" in row]
    first = rows[0]
    assert (first["kl"], first["margin"], first["chosen"], first["rejected"]) == (0, 0, 0, 0)
    assert first["loss"] == pytest.approx(0.6931472, abs=1e-6)
    assert rows[1]["kl"] > 0
    assert first["gradient_norm"] > 1e-4

    found = captions(world, tuned)
    tuned.save(tmp_path / "dico-model")
    assert_alike(captions(world, load_policy(tmp_path / "dico-model")), found)
    # What a random evaluator prefers may be to say nothing; before it there are words, and after it others.
    assert any(caption.text for caption in by_xe)
    assert [caption.logp for caption in found] != [caption.logp for caption in by_xe]


@pytest.mark.parametrize(
    ("write", "settings"),
    [
        (write_smolvlm, {"image_px": 32}),
        (write_qwen, {"lora_rank": 4, "dtype": "bfloat16", "instruction": "What is it?"}),
    ],
)
def test_chat_models_learn_in_both_stages(world, tmp_path, write, settings):
    captioned = [text for record in tiny.records(world, "train") for text in record.captions]
    folder = write(tmp_path / "model", captioned)
    policy = HuggingFacePolicy(
        open_checkpoint(HuggingFaceConfig(checkpoint=str(folder), **settings))
    )
    losses = [row["loss"] for row in train_xe(world, policy, tmp_path).history.rows]
    assert losses[1] < losses[0]
    policy.save(tmp_path / "xe-model")
    tuned = load_policy(tmp_path / "xe-model")
    rows = [row for row in train_dico(world, tuned, tmp_path).history.rows if "loss" in row]
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-9)  # rounding, where all weights are trained
    assert rows[0]["loss"] == pytest.approx(0.6931472, abs=1e-5)
    assert rows[0]["gradient_norm"] > 1e-4
    assert rows[1]["kl"] > 1e-9
    assert len(captions(world, tuned)) > 0


@pytest.mark.parametrize(
    "options",
    [
        {"method": "scst", "candidates": "sample"},
        {"method": "scst", "baseline": "greedy"},
        {"precision": "bfloat16"},
        {"activation_checkpointing": True},
        {"freeze_image_encoder": True},
        {"lora_rank": 2, "lora_targets": ("query",)},  # the decoder's alone
    ],
)
def test_other_ways_of_fine_tuning(world, start, tmp_path, options):
    ours = {name: options[name] for name in options if name in HuggingFaceConfig.__annotations__}
    options = {name: options[name] for name in options if name not in ours}
    policy = opened(start(blip), blip, **ours)
    tower = {k: v.clone() for k, v in policy.captioner.image_encoder.state_dict().items()}
    rows = train_dico(world, policy, tmp_path, **options).history.rows
    losses = [row for row in rows if "loss" in row]
    assert losses[0]["kl"] == 0
    assert losses[1]["kl"] > 0
    after = policy.captioner.image_encoder.state_dict()
    assert bool(ours) == all(torch.equal(after[name], tower[name]) for name in tower)
    for name, value in policy.captioner.model.text_decoder.named_parameters():
        if value.requires_grad and value.dim() == 2:
            assert value.grad.abs().sum() > 0, name


@pytest.mark.parametrize("rank", [0, 4])
def test_a_resumed_run_ends_in_the_same_bits(world, start, tmp_path, rank):
    """With dropout, in the model and in the adapters; the first run stops after one step."""

    def trained(folder, num_steps):
        policy = opened(start(blip), blip, lora_rank=rank, lora_dropout=0.2)
        train_xe(world, policy, tmp_path / folder, num_steps=num_steps, validate_every_steps=1)
        return policy.trained.state_dict()

    whole = trained("whole", 3)
    trained("parts", 1)
    resumed = trained("parts", 3)
    assert whole.keys() == resumed.keys()
    for name, value in resumed.items():
        assert torch.equal(value, whole[name]), name
