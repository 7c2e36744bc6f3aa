"""The paper and BLIP by their presets, all steps, with tiny models of true formats on a loopback Hub."""

import json
import os

import pytest

from dico.data.toy.config import ToyConfig
from dico.registry import open_registry
from dico_pipelines.compile import FOLDER
from dico_pipelines.local.runner import run
from tests.policy.families import blip, write_checkpoint
from tests.weights.command import main as weights
from tests.weights.test_encoders import open_clip_data, save_open_clip, transformers_clip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("DICO_TEST_LONG"),
        reason="two whole runs, a minute each; set DICO_TEST_LONG=1",
    ),
]

SMALL = (
    "validation.near_duplicates=false xe.num_steps=2 xe.batch_size=8 xe.micro_batch_size=8 "
    "xe.num_validation_images=4 xe.validate_every_steps=2 finetune.num_steps=2 "
    "finetune.batch_size=4 finetune.micro_batch_size=4 finetune.num_validation_images=4 "
    "finetune.validate_every_steps=2 evaluation.meteor=false evaluation.num_resamples=50 "
    "decoding.max_tokens=8 decoding.num_beams=2 audit.allow_unfit=true "
)
CAPTIONER = (
    "captioner.width=16 captioner.num_heads=2 captioner.ffn_width=32 "
    "captioner.num_encoder_layers=1 captioner.num_decoder_layers=1 "
)


@pytest.fixture
def karpathy(tmp_path):
    """A dataset in Karpathy's format, of rendered scenes."""
    from dico.data.toy.world import write_toy_dataset

    toy = ToyConfig(num_train=24, num_validation=8, num_test=24, num_captions=3, image_side_px=32)
    lines = write_toy_dataset(tmp_path / "toy", toy, seed=3).read_text().splitlines()
    splits = {"train": "train", "validation": "val", "test": "test"}
    images = [
        {
            "filename": row["image"].rpartition("/")[2],
            "filepath": row["image"].rpartition("/")[0],
            "split": splits[row["split"]],
            "imgid": number,
            "sentids": [],
            "sentences": [{"raw": text, "tokens": text.split()} for text in row["captions"]],
        }
        for number, row in enumerate(map(json.loads, lines))
    ]
    path = tmp_path / "dataset_coco.json"
    path.write_text(json.dumps({"dataset": "coco", "images": images}))
    return path, sorted({text for image in images for text in captions_of(image)})


def captions_of(image):
    return [sentence["raw"] for sentence in image["sentences"]]


def start(tmp_path, dataset, preset, overrides):
    arguments = [
        f"dataset={dataset}",
        f"images={tmp_path / 'toy'}",
        f"preset={preset}",
        f"overrides={SMALL} {overrides}",
    ]
    return run(FOLDER / "dico.yaml", arguments, tmp_path / "runs", preset)


def test_the_whole_paper_is_one_command(tmp_path, hub, karpathy):
    dataset, _ = karpathy
    transformers_clip(tmp_path / "b32", 1)
    transformers_clip(tmp_path / "l14", 2)
    judge = hub.push("acme/tiny-b32", tmp_path / "b32", licence="mit")
    tower = hub.push("acme/tiny-l14", tmp_path / "l14", licence="mit")
    pac = tmp_path / "clip_ViT-B-32.pth"
    save_state_dict(tmp_path / "b32", pac)
    assert weights(["fetch", pac, "--store", tmp_path / "runs" / "store"]) == 0
    names = f"evaluator.weights=acme/tiny-b32 evaluator.tower=acme/tiny-l14 {CAPTIONER}"
    folder = start(tmp_path, dataset, "coco-vit-l14", f"{names} decoding.rule=transformers4")
    systems = json.loads((folder / "evaluation" / "metrics.json").read_text())["systems"]
    assert {"dico", "xe", "human"} <= systems.keys()
    page = (folder / "report.html").read_text()
    for commit in (judge, tower):
        assert commit[:12] in page
    assert "tuned weights clip_ViT-B-32.pth" in page
    version = open_registry(str(tmp_path / "runs" / "registry")).versions("coco-vit-l14")[-1]
    assert judge[:12] in version.metadata["evaluator_origin"]
    fetched = hub.fetched["acme/tiny-b32/model.safetensors"]
    assert fetched == 1


def save_state_dict(folder, path):
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), path)


@pytest.mark.filterwarnings("ignore")
def test_blip_by_its_preset_is_judged_before_any_training(tmp_path, hub, karpathy):
    dataset, captions = karpathy
    write_checkpoint(blip, tmp_path / "blip", captions)
    save_open_clip(tmp_path / "siglip", open_clip_data("ViT-B-16-SigLIP", "test_vit", 64, 64))
    hub.push("acme/tiny-siglip", tmp_path / "siglip", licence="apache-2.0")
    commit = hub.push("acme/tiny-blip", tmp_path / "blip", licence="bsd-3-clause")
    names = (
        "evaluator.weights=hf-hub:acme/tiny-siglip captioner.checkpoint=acme/tiny-blip "
        "captioner.lora_rank=2 evaluator.adapt=projections evaluator.num_pac_steps=2 "
        "evaluator.batch_size=4"
    )
    folder = start(tmp_path, dataset, "blip", names)
    systems = json.loads((folder / "evaluation" / "metrics.json").read_text())["systems"]
    assert {"pretrained", "xe", "dico", "human"} <= systems.keys()
    page = (folder / "report.html").read_text()
    assert "Pretrained" in page
    assert f"acme/tiny-blip (commit {commit[:12]}" in page
    assert "its projections adapted to this dataset" in page
    version = open_registry(str(tmp_path / "runs" / "registry")).versions("blip")[-1]
    assert "licence bsd-3-clause" in version.metadata["captioner_origin"]
