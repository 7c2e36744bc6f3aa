"""The steps with a captioner of transformers: chosen by configuration, from pixels to a version."""

import json

import pytest

from dico.configuration.schema import to_json
from dico.decoding import DecodingConfig
from dico.errors import ConfigError, DataError
from dico.evaluation.captions_file import read_captions
from dico.registry.bundle import load_version
from dico.registry.version import CAPTIONER, EVALUATOR, identity
from dico.steps.finetune_captioner import finetune_captioner
from dico.steps.generate_captions import generate_captions
from dico.steps.pretrain_captioner import pretrain_captioner
from dico.steps.resolve_config import resolve_config
from dico.storage import verify_digests
from dico.training.configs import FinetuneConfig, XEConfig
from tests.policy.families import git, write_checkpoint
from tests.training import tiny

DECODING = to_json(DecodingConfig(num_beams=2, max_tokens=8))
XE = to_json(XEConfig(num_steps=2, batch_size=4, micro_batch_size=4, num_validation_images=2))
DICO = to_json(FinetuneConfig(num_steps=2, batch_size=2, num_validation_images=2))


def path(folder, name):
    return str(folder / name)


def captioner_config(checkpoint, more=""):
    overrides = f'captioner.architecture=huggingface captioner.checkpoint="{checkpoint}" {more}'
    return resolve_config("toy", overrides).captioner


def pretrain(folder, checkpoint, output, more=""):
    pretrain_captioner(
        manifest=path(folder, "manifest.parquet"),
        features=path(folder, "features"),
        captioner_config=captioner_config(checkpoint, more),
        config=XE,
        decoding=DECODING,
        seed=1,
        run_key="",
        store=path(folder, "store"),
        output_captioner=path(folder, output),
    )


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    folder = tiny.make_world(tmp_path_factory.mktemp("a walk"))
    captions = [text for record in tiny.records(folder, "train") for text in record.captions]
    write_checkpoint(git, folder / "checkpoint", captions)
    pretrain(folder, folder / "checkpoint", "xe", "captioner.lora_rank=2")
    finetune_captioner(
        manifest=path(folder, "manifest.parquet"),
        features=path(folder, "features"),
        captioner=path(folder, "xe"),
        evaluator=path(folder, "evaluator"),
        config=DICO,
        decoding=DECODING,
        seed=1,
        run_key="",
        store=path(folder, "store"),
        output_captioner=path(folder, "dico"),
    )
    return folder


def test_each_stage_writes_a_whole_model(walk):
    for name in ("xe", "dico"):
        verify_digests(walk / name)
        training = json.loads((walk / name / "training.json").read_text())
        assert training["config"]["num_steps"] == 2
        settings = json.loads((walk / name / "policy.json").read_text())["settings"]
        assert settings["lora_rank"] == 2
    rows = [json.loads(line) for line in (walk / "dico" / "history.jsonl").read_text().splitlines()]
    first = next(row for row in rows if "loss" in row)
    assert (first["kl"], first["margin"]) == (0, 0)
    assert len(identity(walk / "dico")) == 64


def test_captions_of_the_step_are_those_of_the_registered_version(walk, tmp_path):
    generate_captions(
        manifest=path(walk, "manifest.parquet"),
        features=path(walk, "features"),
        captioner=path(walk, "dico"),
        split="test",
        decoding=DECODING,
        output_captions=path(walk, "captions.jsonl"),
    )
    captions = read_captions(path(walk, "captions.jsonl"))
    assert list(captions) == [record.image_id for record in tiny.records(walk, "test")]

    (tmp_path / CAPTIONER).symlink_to(walk / "dico")
    (tmp_path / EVALUATOR).symlink_to(walk / "evaluator")
    policy, _, decoding = load_version(tmp_path)
    assert to_json(decoding) == DECODING
    found = policy.search(policy.encode(pixels(walk, policy)), decoding)
    assert policy.tokenizer.decode_batch(found.tokens[:, 0]) == list(captions.values())


def pixels(folder, policy):
    import torch

    from dico.images.load import load_image

    records = tiny.records(folder, "test")
    return torch.stack([policy.preprocess(load_image(record.uri)) for record in records])


def test_a_checkpoint_that_cannot_be_used_is_named(walk, tmp_path):
    with pytest.raises(ConfigError, match="nothing: no such file or folder"):
        pretrain(walk, tmp_path / "nothing", "x")
    (tmp_path / "config.json").write_text('{"model_type": "blip"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(DataError, match=r"no model\.safetensors; weights in other formats"):
        pretrain(walk, tmp_path, "x")
    with pytest.raises(ConfigError, match=r"captioner\.lora_targets: .*nowhere"):
        pretrain(
            walk,
            walk / "checkpoint",
            "x",
            'captioner.lora_rank=2 captioner.lora_targets=["nowhere"]',
        )
    assert not (walk / "x").exists()


def test_settings_of_the_captioner():
    settings = json.loads(captioner_config("my models/git", 'captioner.prompt="a <image> b"'))
    assert settings["checkpoint"] == "my models/git"
    assert settings["prompt"] == "a <image> b"
    with pytest.raises(ConfigError, match=r"captioner\.checkpoint: must name a folder"):
        resolve_config("toy", "captioner.architecture=huggingface")
    with pytest.raises(ConfigError, match=r"captioner\.lora_rank: must be at least 0, got -1"):
        resolve_config("toy", "captioner.lora_rank=-1")
