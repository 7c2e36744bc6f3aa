"""The paper's presets: every number of its set-up as a literal, and the sizes that follow."""

import dataclasses

import pytest
import torch

from dico.models.captioner import Captioner
from dico.models.clip_config import ClipConfig
from dico.models.tokenizer import Tokenizer
from dico.models.torchvision_compat import ensure_torchvision_imports
from dico.presets.config import resolve

PRESETS = ("coco-vit-l14", "coco-vit-b32", "coco-rn50")
TOWERS = {
    "coco-vit-l14": ("ViT-L-14", "tower"),
    "coco-vit-b32": ("ViT-B-32", "clip"),
    "coco-rn50": ("RN50", "tower"),
}
PAPER = {
    "features.dtype": "float16",
    "captioner.architecture": "paper",
    "captioner.width": 512,
    "captioner.num_encoder_layers": 3,
    "captioner.num_decoder_layers": 3,
    "captioner.num_heads": 8,
    "captioner.ffn_width": 2048,
    "captioner.num_text_positions": 1024,
    "captioner.dropout": 0.1,
    "decoding.num_beams": 5,
    "decoding.max_tokens": 30,
    "decoding.length_penalty": 1.0,
    "decoding.rule": "transformers4",
    "xe.num_steps": 10_000,
    "xe.batch_size": 1024,
    "xe.captions_per_image": 1,
    "xe.learning_rate": 2.5e-4,
    "xe.warmup_share": 0.05,
    "xe.schedule": "constant",
    "xe.label_smoothing": 0.0,
    "xe.max_gradient_norm": 0.0,
    "xe.validate_every_steps": 200,
    "xe.num_validation_images": 5000,
    "finetune.num_steps": 250_000,
    "finetune.batch_size": 16,
    "finetune.learning_rate": 1e-6,
    "finetune.method": "dico",
    "finetune.reward": "pac",
    "finetune.beta": 0.2,
    "finetune.tau": 300.0,
    "finetune.weighting": "softmax",
    "finetune.candidates": "beam",
    "finetune.max_gradient_norm": 0.0,
    "finetune.validate_every_steps": 1770,
    "finetune.num_validation_images": 5000,
}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_has_every_number_of_the_paper(preset):
    config = resolve(preset)
    found = {}
    for path in PAPER:
        section, name = path.split(".")
        found[path] = getattr(getattr(config, section), name)
    assert found == PAPER
    assert config.features.tower == TOWERS[preset][1]


def test_the_presets_differ_in_the_tower_alone():
    configs = [resolve(preset) for preset in PRESETS]
    assert [c.evaluator.tower for c in configs].count("") == 1
    first, *others = (
        dataclasses.replace(
            config, features=None, evaluator=dataclasses.replace(config.evaluator, tower="")
        )
        for config in configs
    )
    assert others == [first, first]


@pytest.mark.parametrize(
    ("preset", "tokens", "feature_width", "num_parameters"),
    [
        ("coco-vit-l14", 257, 1024, 48_549_376),
        ("coco-vit-b32", 50, 768, 48_312_320),
        ("coco-rn50", 49, 2048, 48_967_168),
    ],
)
def test_a_preset_gives_a_captioner_of_the_known_size(
    preset, tokens, feature_width, num_parameters
):
    ensure_torchvision_imports()
    import open_clip

    vision = ClipConfig.from_dict(open_clip.get_model_config(TOWERS[preset][0])).vision_cfg
    assert (vision.num_tokens, vision.token_width) == (tokens, feature_width)
    sizes = dataclasses.replace(
        resolve(preset).captioner.sizes(),
        feature_width=vision.token_width,
        num_image_positions=vision.num_tokens,
        vocab_size=Tokenizer.clip().vocab_size,
    )
    with torch.device("meta"):
        found = sum(value.numel() for value in Captioner(sizes).parameters())
    norm, square, ffn = 2 * 512, 512 * 512 + 512, 512 * 2048 + 2048 + 2048 * 512 + 512
    encoder = 512 * feature_width + 512 + 512 * tokens + norm
    encoder += 3 * (4 * square + norm + ffn + norm)
    decoder = 512 * 49_409 + 512 * 1024 + norm
    decoder += 3 * (norm + 4 * square + norm + 4 * square + norm + ffn)
    assert found == encoder + decoder == num_parameters
